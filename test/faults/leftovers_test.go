package faults

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/stand"
	"github.com/virt-sluice/sluice/proxy/control"
)

// endCopy ends what is left of a guest that can't go on, as its user would.
func (s *stage) endCopy(ctx context.Context, r *result) {
	if err := s.g.Destroy(ctx); err != nil {
		r.fault("end what is left: %v", err)
	}
}

// nothingLeft checks that hosts and daemons have nothing of the migration any more, but the guest
// where it is.
func (s *stage) nothingLeft(ctx context.Context, r *result, at *lab.Host) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if s.second != nil {
		s.secondRefused(r)
	}
	_, onB, _ := s.watch.passes()
	for _, h := range s.Hosts() {
		var except []string
		if h == at || at == nil && s.g.Spec.Persistent && (h == s.A || onB > 0) || s.keepsDefinition(h) {
			except = []string{s.g.Name}
		}
		soon, cancel := context.WithTimeout(ctx, 30*time.Second)
		if err := h.WaitClean(soon, except...); err != nil {
			r.fault("%v", err)
		}
		cancel()
	}
	s.earlierEnd(ctx, r)
	for _, d := range s.site.Daemons() {
		var more error
		patience := 20 * time.Second
		if strings.HasSuffix(r.Outcome, ", resolved") {
			patience = 150 * time.Second // libvirt here was left its connection for so long, to resume the guest in vain
		}
		err := s.wait("sluice comes to rest", patience, func() (bool, error) {
			now, err := s.holds(d)
			more = errors.Join(now.Beyond(s.idle[d]), err)
			return more == nil, nil
		})
		if err != nil {
			r.fault("%s: %v: %v", d.Host.Name, err, more)
		}
		if log := stand.Misbehaved(d.Log()); log != "" && s.c.fault.name != "memory:sluice"+strings.TrimPrefix(d.Host.Name, "host") {
			r.fault("sluice on %s misbehaved: %s", d.Host.Name, log)
		}
	}
}

// earlierEnd checks that sluices which others have followed have finished what they had.
func (s *stage) earlierEnd(ctx context.Context, r *result) {
	for _, over := range s.earlier {
		select {
		case <-over:
		case <-ctx.Done():
			r.fault("a sluice that another has followed has not ended: %v", context.Cause(ctx))
		}
	}
}

// keepsDefinition says whether libvirt on a host is known to keep the definition of a persistent
// guest that is not there: a source whose client, which alone would end the migration, was killed;
// and a destination that can't write down that it has given the guest up.
func (s *stage) keepsDefinition(h *lab.Host) bool {
	switch s.c.fault.name {
	case "caller:kill", "link:down-40s", "libvirtd-a:kill":
		return s.g.Spec.Persistent && h == s.A && s.c.way.alone && s.c.moment.name != "copy"
	case "disk-full:run-b":
		return s.g.Spec.Persistent && h == s.B && s.c.moment.finish
	}
	return false
}

// secondRefused checks that a second caller did not move the guest as well.
func (s *stage) secondRefused(r *result) {
	select {
	case <-s.second.done:
	case <-time.After(30 * time.Second):
		r.fault("the second caller has not ended")
		return
	}
	if s.second.outcome() == control.Moved && r.Caller == control.Moved {
		r.fault("both callers say that they have moved the guest")
	}
	s.note("the second caller is told: %s", strings.TrimSpace(s.second.words()))
}
