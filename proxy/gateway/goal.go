package gateway

import (
	"context"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/converge"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// pursue has decisions made about the migration, by the figures that job is handed, where the
// configuration has a goal for libvirt's clients as well. What needs a flag is not done without the
// client's. It returns at once, and what it began ends with stop.
func (m *steeredSource) pursue(ctx context.Context, job *host.Job) (stop func()) {
	const none = libvirt.MigrateOffline | libvirt.MigratePostcopyResume // nothing to decide about
	if !m.gateway.Config.Auto.StockClients || m.led || m.transfer.Flags&none != 0 {
		return func() {}
	}
	m.entry.HasGoal()
	began, done := time.Now(), make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	figures := make(chan virt.JobStats, 1)
	job.Every = host.PassInterval
	job.Each = func(st virt.JobStats) {
		select {
		case <-figures: // that nobody took in time
		default:
		}
		figures <- st
	}
	go func() {
		defer close(done)
		conn := &virt.LazyConn{Libvirt: m.gateway.Libvirt}
		defer conn.Close()
		p := &host.Pursuit{Host: m.gateway.Host, Guest: job.Guest, Entry: m.entry, Log: m.log, Began: began, Virt: conn,
			Postcopy: func(why string) error {
				err := conn.Call(ctx, func(v *virt.Conn) error { return v.DomainMigrateStartPostCopy(job.Guest, 0) })
				if err == nil {
					m.entry.Decided("QEMU is asked to switch to post-copy: %s", why)
					m.log.Info().Str("why", why).Msg("QEMU is asked to switch to post-copy")
				}
				return err
			},
			Abort: func(why *stream.Cause) {
				m.entry.Decided("aborted: %v", why)
				if err := m.cancel(context.WithoutCancel(ctx), why); err != nil {
					m.entry.Decided("not aborted: %v", err)
					m.log.Warn().Err(err).Msg("not aborted")
				}
			},
		}
		for {
			select {
			case st := <-figures:
				if m.transfer.Steered && !m.listeners.hasConnected() {
					continue // they may be of a job that is not this client's
				}
				if p.Decider == nil {
					p.Decider = m.decider(ctx, conn, job.Guest)
				}
				if p.Decider != nil {
					p.Take(st)
				}
			case <-m.held:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// decider is one for the configuration's goal; nil if libvirt does not answer.
func (m *steeredSource) decider(ctx context.Context, conn *virt.LazyConn, guest libvirt.Domain) *converge.Decider {
	var memory uint64
	err := conn.Call(ctx, func(v *virt.Conn) (err error) {
		memory, err = v.MostMemory(ctx, guest)
		return err
	})
	if err != nil {
		return nil
	}
	g := m.gateway.Goal(new(control.MigrateRequest), memory)
	g.Postcopy = g.Postcopy && m.transfer.Postcopy()
	g.Slow = g.Slow && m.transfer.Flags&libvirt.MigrateAutoConverge != 0
	return converge.New(*g)
}
