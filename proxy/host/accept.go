package host

import (
	"context"
	"fmt"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/domainxml"
	"github.com/virt-sluice/sluice/internal/guestpolicy"
)

// Policy is what guests that the caller brings may ask for: a peer, or another libvirt client.
func (h *Host) Policy(ctx context.Context, caller string) *guestpolicy.Policy {
	return h.policy(caller, func() ([]guestpolicy.Pool, error) {
		ctx, cancel := context.WithTimeout(ctx, h.Config.Limits.HandshakeTimeout)
		defer cancel()
		all, err := h.Libvirt.Pools(ctx)
		if err == nil {
			h.pools.Store(&all)
		}
		return all, err
	})
}

func (h *Host) policy(caller string, pools func() ([]guestpolicy.Pool, error)) *guestpolicy.Policy {
	p := guestpolicy.New(h.Config.Accepted(caller), pools)
	p.Resolve = h.Observer.Resolve
	return p
}

// AcceptGuest says whether a guest may begin its life here, by all descriptions that come with its
// Prepare. Every way by which one comes asks this, before libvirt hears of it.
func (h *Host) AcceptGuest(ctx context.Context, caller string, cookie []byte, descriptions ...string) error {
	more, _, err := domainxml.InCookie(cookie)
	if err != nil {
		return err
	}
	policy := h.Policy(ctx, caller)
	for _, d := range append(descriptions, more...) {
		if err := policy.Check(d); err != nil {
			return fmt.Errorf("%w: see [accept] in docs/config.md on %s", err, h.Config.Name)
		}
	}
	return nil
}

// FinishCookie is the cookie of a Finish as libvirt may have it. One with a description that may
// not be, or that cannot be read, is no reason to fail a guest whose memory is here: without that,
// libvirt keeps the guest by the description that it runs by. Finish does not wait for libvirt to
// be asked for anything else, so its storage pools are those that it had at a Prepare.
func (h *Host) FinishCookie(caller string, cookie []byte, log zerolog.Logger) []byte {
	descriptions, without, err := domainxml.InCookie(cookie)
	policy := h.policy(caller, func() ([]guestpolicy.Pool, error) {
		if known := h.pools.Load(); known != nil {
			return *known, nil
		}
		return nil, nil
	})
	for _, d := range descriptions {
		if err == nil {
			err = policy.Check(d)
		}
	}
	if err != nil {
		log.Warn().Str("caller", caller).Err(err).Msg("the guest's persistent description is left out; it keeps the one that it runs by")
		return without
	}
	return cookie
}
