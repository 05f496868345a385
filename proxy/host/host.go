package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/guestpolicy"
	"github.com/virt-sluice/sluice/internal/observer"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/departure"
	"github.com/virt-sluice/sluice/proxy/handover"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
)

// Host is what the parts of one host's daemon share, as one configuration has it. It is not changed:
// a reload makes another, and what has begun with this one ends with it, so that nothing is decided
// half by the one and half by the other. All fields are set before any part runs.
type Host struct {
	Config  *config.Config
	UIDs    []uint32 // may use the local sockets
	QEMUUID int      // of the user that libvirt runs QEMU as
	Libvirt virt.Libvirt
	Peers   *peer.Set
	*State
}

// State is what goes on from one configuration to the next.
type State struct {
	Log      zerolog.Logger
	Dir      *rundir.Dir
	Sockets  *handover.Sockets // that this process listens at, or is to
	Sessions *session.Registry
	Observer *observer.Observer // nil: this process looks itself

	Departures *departure.Table

	TotalSend, TotalReceive *relay.Limiter // of all sessions

	Probing chan struct{} // with an element while a plan measures its link: two at once would measure a half each

	Callers  Callers
	Refusals Refusals
	Stayed   Stayed
	Ports    Ports
	pools    atomic.Pointer[[]guestpolicy.Pool] // libvirt's, as they were when they were last asked for

	Work sync.WaitGroup // connections and sessions under way

	newest atomic.Pointer[Host]
}

// TakeEffect makes h the host as those find it that come from now on.
func (h *Host) TakeEffect() {
	l := h.Config.Limits
	h.Sessions.SetLimits(l.Sessions, l.PeerSessions)
	h.TotalSend.SetRate(l.TotalBandwidth << 20)
	h.TotalReceive.SetRate(l.TotalBandwidth << 20)
	h.Peers.TakeEffect()
	h.newest.Store(h)
}

// Now is the host as the newest configuration has it: for what begins, though it is asked for by
// what began with h.
func (h *Host) Now() *Host { return cmp.Or(h.newest.Load(), h) }

// AwaitResumed waits, for limits.handshake_timeout at the most, until libvirt here knows that a
// broken post-copy goes on.
func (h *Host) AwaitResumed(ctx context.Context, uuid libvirt.UUID) {
	ctx, cancel := context.WithTimeout(ctx, h.Config.Limits.HandshakeTimeout)
	defer cancel()
	h.Libvirt.AwaitResumed(ctx, uuid)
}

// Limits are those of a session. bandwidth, in MiB/s, narrows the configured one; 0 does not.
func (h *Host) Limits(bandwidth uint64) stream.Limits {
	l := h.Config.Limits
	perSession := l.SessionBandwidth << 20
	if asked := int64(bandwidth) << 20; asked > 0 && (perSession <= 0 || asked < perSession) {
		perSession = asked
	}
	return stream.Limits{
		Channels:     l.Channels,
		Handshake:    l.HandshakeTimeout,
		Idle:         l.IdleTimeout,
		Length:       l.SessionTimeout,
		Bytes:        l.SessionBytes,
		Bandwidth:    perSession,
		TotalSend:    h.TotalSend,
		TotalReceive: h.TotalReceive,
	}
}

// NoteLimits notes for history the bandwidth that a session may have. It is shared or its own, of the
// configuration or asked for in MiB/s.
func (h *Host) NoteLimits(e *session.Entry, asked uint64) {
	l := h.Config.Limits
	if own := h.Limits(asked).Bandwidth >> 20; own > 0 && own == int64(asked) {
		e.Limited("bandwidth: %d MiB/s (--bandwidth)", own)
	} else if own > 0 {
		e.Limited("bandwidth: %d MiB/s (limits.session_bandwidth)", own)
	}
	if l.TotalBandwidth > 0 {
		e.Limited("bandwidth of all sessions: %d MiB/s (limits.total_bandwidth)", l.TotalBandwidth)
	}
}

// CheckChannels refuses data for which a session may not have enough channels here.
func (h *Host) CheckChannels(need transfer.Channels) error {
	if most := h.Config.Limits.Channels; need.All() > most {
		return fmt.Errorf("the migration takes %d channels (memory %d, disks %d), and a session on %s may have %d: use fewer --parallel-connections, or set limits.channels = %d on %[4]s",
			need.All(), need.Memory, need.Disks, h.Config.Name, most, need.All())
	}
	return nil
}

// TLSDefault is what holds for p where a migration says nothing.
func (h *Host) TLSDefault(p *peer.Peer) string {
	switch {
	case p.Conf.TLS != "":
		return p.Conf.TLS
	case h.Config.TLSDefault != "":
		return h.Config.TLSDefault
	}
	return control.Yes
}

// AcceptAgain says, after Accept has failed, whether to go on: not once the
// listener is closed. Else the daemon is out of descriptors, most likely; what
// comes waits in the kernel until there are some again.
func (h *Host) AcceptAgain(ctx context.Context, doing string, err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	h.Log.Error().Err(err).Msg(doing)
	select {
	case <-time.After(100 * time.Millisecond):
		return true
	case <-ctx.Done():
		return false
	}
}

// Opener is what opens sessions with p.
func (h *Host) Opener(p *peer.Peer) *stream.Opener {
	var at atomic.Pointer[net.Addr] // where it has shown its certificate
	return &stream.Opener{
		Host:    h.Config.Name,
		Peer:    p.Name,
		Address: p.Conf.Address,
		Limits:  h.Limits(0),
		Dial: func(ctx context.Context, session string, clear bool) (relay.Conn, error) {
			if clear {
				return h.Peers.DialClear(ctx, p, *at.Load())
			}
			c, err := h.Peers.Dial(ctx, p, session)
			if err == nil {
				addr := c.RemoteAddr()
				at.Store(&addr)
			}
			return c, err
		},
		// libvirt's own answer says whether this host's QEMU has failed.
		LocalGone: func(c *stream.Cause) { h.Log.Info().Str("cause", c.Error()).Msg("QEMU closed its end") },
	}
}

// PeerSocket is where libvirt clients of a peer connect, beneath the run folder.
func (h *Host) PeerSocket(p *peer.Peer) string {
	return filepath.Join(rundir.PeersDir, p.Name, rundir.LibvirtSocket)
}
