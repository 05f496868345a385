package proxy

import (
	"context"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/check"
	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/peer"
)

// Check checks a host on which no daemon is asked, by its configuration and the
// files as they are now.
func Check(ctx context.Context, cfg *config.Config, version string, req *control.CheckRequest) (*control.Report, error) {
	if err := checkRequest(cfg, req); err != nil {
		return nil, err
	}
	h := &check.Host{
		Config: cfg, Version: version, By: control.ByCommand,
	}
	h.Peers, h.Err = peer.New(cfg, zerolog.Nop())
	return h.Run(ctx, req), nil
}

func checkRequest(cfg *config.Config, req *control.CheckRequest) error {
	for i, name := range req.Peers {
		if _, is := cfg.Peers[name]; !is {
			req.Peers[i] = config.HostKey(name)
		}
		if _, ok := cfg.Peer(req.Peers[i]); !ok {
			there := strings.Join(cfg.PeerNames(), ", ")
			return control.WrongUse("no peer %q is configured on %s; configured are: %s", name, cfg.Name, orNone(there))
		}
	}
	return nil
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// check answers `sluice check`.
func (d *Daemon) check(ctx context.Context, req *control.CheckRequest) (*control.Report, error) {
	p := d.now()
	if err := checkRequest(p.Config, req); err != nil {
		return nil, err
	}
	h := &check.Host{
		Config: p.Config, Version: d.version, By: control.ByDaemon,
		Peers:     p.Peers,
		Listening: d.listening(),
		Reload:    p.Peers.Certs.Status(time.Now()).ReloadErrors,

		Confinement: d.confinement,
		Observer:    d.Observer,
	}
	report := h.Run(ctx, req)
	for _, v := range report.Peers {
		if v.Found == control.PeerSluice {
			p.Peers.Saw(p.Peers.Get(v.Name))
		}
	}
	return report, nil
}
