package check

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/observer"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/tlsconf"
)

// Host is what a check is made with. Config is needed; what else is absent is
// found out, or is itself a finding.
type Host struct {
	Config  *config.Config
	Version string // of this sluice
	By      string // control.ByDaemon or control.ByCommand

	Peers *peer.Set // with the credentials and policies in use, or nil
	Err   error     // why there are none

	Listening string                // where a daemon listens; empty: this is none
	Reload    []control.ReloadError // what the daemon could not take over

	Confinement *control.Confinement // the daemon's; nil: there is none
	Observer    *observer.Observer   // the daemon's; nil: this process looks itself
}

// maxPeers is how many peers are checked at once.
const maxPeers = 16

// Run checks this host, or the peers that the request names, all of which are configured.
func (h *Host) Run(ctx context.Context, req *control.CheckRequest) *control.Report {
	r := &control.Report{Host: h.Config.Name, Version: h.Version, By: h.By, Time: time.Now()}
	names := req.Peers
	if req.All {
		names = slices.Sorted(maps.Keys(h.Config.Peers))
		if h.Peers != nil {
			names = h.Peers.Names()
		}
		r.Patterns = slices.Sorted(maps.Keys(h.Config.Patterns()))
	}
	switch {
	case len(names) > 0:
		r.Findings, r.Peers = h.checkPeers(ctx, names)
	case len(r.Patterns) > 0:
		r.Findings = []control.Finding{{Check: "peers", Result: control.ResultOK, Text: "no host of " + strings.Join(r.Patterns, ", ") + " has been found yet"}}
	case req.All:
		r.Findings = []control.Finding{{Check: "peers", Result: control.ResultWarning, Code: "no-peers", Text: "no peers are configured",
			Remedy: "add [peers.NAME] to the configuration"}}
	default:
		r.Findings = h.checkHost(ctx)
	}
	Count(r)
	return r
}

// Count sets a report's numbers.
func Count(r *control.Report) {
	r.Errors, r.Warnings = 0, 0
	for _, f := range r.Findings {
		switch f.Result {
		case control.ResultError:
			r.Errors++
		case control.ResultWarning:
			r.Warnings++
		}
	}
}

func (h *Host) checkPeers(ctx context.Context, names []string) ([]control.Finding, []control.PeerView) {
	views := make([]control.PeerView, len(names))
	found := make([][]control.Finding, len(names))
	slots := make(chan struct{}, maxPeers)
	var all sync.WaitGroup
	for i, name := range names {
		slots <- struct{}{}
		all.Go(func() {
			found[i], views[i] = h.checkPeer(ctx, name)
			<-slots
		})
	}
	all.Wait()
	return slices.Concat(found...), views
}

func (h *Host) checkHost(ctx context.Context) []control.Finding {
	l := new(control.Findings)
	libvirt, err := h.libvirt(ctx)
	h.certificates(l, libvirt)
	h.priority(l)
	h.patterns(l)
	h.listen(ctx, l)
	h.folders(l)
	h.libvirtAnswers(ctx, l, libvirt, err)
	h.guests(ctx, l)
	if err == nil {
		h.fence(l)
	}
	h.confinement(l)
	h.interception(ctx, l)
	h.limits(l)
	h.kernel(l)
	h.native(l)
	return l.List
}

func (h *Host) credentials() *tlsconf.Credentials {
	if h.Peers == nil {
		return nil
	}
	return h.Peers.Certs.Current()
}

func (h *Host) policies() *config.Policies {
	if h.Peers == nil {
		return nil
	}
	return h.Peers.Policies
}
