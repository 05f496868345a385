package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/virt-sluice/sluice/stream"
)

// abortTimeout bounds libvirt's answer to the abort of a job, or to a query. The destination waits
// for it.
const abortTimeout = 5 * time.Second

// cancel ends the migration as `virsh domjobabort` does, so that its client is told that it was
// cancelled, and not how its connections broke; those follow. It fails once the guest may be the
// destination's.
func (m *steeredSource) cancel(ctx context.Context, why *stream.Cause) error {
	split := fmt.Errorf("guest %s is in post-copy: a part of it is on each host, so it can't be cancelled any more", m.guest.name)
	if m.split() {
		return split
	}
	m.mu.Lock()
	if m.decided != nil {
		m.mu.Unlock()
		return fmt.Errorf("%s is taking guest %s over, which can't be cancelled any more", m.session.Peer, m.guest.name)
	}
	m.asked = why // Finish can't be asked for any more
	m.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, abortTimeout, errors.New("libvirt does not answer"))
	defer cancel()
	var err error
	if m.led { // a job of another migration is not the peer's to abort
		err = m.isUnderWay(ctx)
	}
	if err == nil {
		err = m.gateway.Libvirt.AbortJob(ctx, m.guest.id)
	}
	if err != nil && m.split() { // meanwhile
		m.mu.Lock()
		m.asked = nil
		m.mu.Unlock()
		return split
	}
	if err != nil { // it has none yet, or hangs: then its data ends
		m.log.Info().Err(err).Msg("libvirt did not abort the job")
	}
	m.session.Fail(why)
	return nil
}

// givenUp ends the session of a guest that libvirt has given up. If that was asked for here, that is
// the reason: libvirt's client may be told of it before cancel is.
func (m *steeredSource) givenUp(code, text string) {
	m.mu.Lock()
	why := m.asked
	m.mu.Unlock()
	if why == nil {
		why = &stream.Cause{Code: code, Text: text}
	}
	m.session.Fail(why)
}

// calledOff is why the guest may not be asked for, with mu held; nil if it may.
func (m *steeredSource) calledOff() error {
	if m.asked == nil {
		return nil
	}
	return m.asked
}

// cancellable lets a guest be cancelled whose source has no sluice that would know better: its
// client's connection ends, and libvirt here gives the guest up with it. It must not have been asked
// for, and never is afterwards.
func (g *destinationFilter) cancellable(a *preparedGuest) {
	a.entry.OnCancel(func(_ context.Context, why *stream.Cause) error {
		if a.transfer.Postcopy() {
			return fmt.Errorf("guest %s may be in post-copy, which only its source can tell: `virsh domjobabort` there", a.guest.name)
		}
		if err := a.life.CallingOff(); err != nil {
			return err
		}
		a.asked.Store(why)
		g.cut(why)
		return nil
	})
}
