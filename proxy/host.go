package proxy

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
)

// Host is what the parts of one host's daemon share. All fields are set before any part runs.
type Host struct {
	Config   *config.Config
	Log      zerolog.Logger
	QEMUUID  int // of the user that libvirt runs QEMU as
	Dir      *rundir.Dir
	Libvirt  virt.Libvirt
	Sessions *session.Registry

	TotalSend, TotalReceive *rate.Limiter // of all sessions

	Work sync.WaitGroup // connections and sessions under way
}

// AwaitResumed waits, for limits.handshake_timeout at the most, until libvirt here knows that a
// broken post-copy goes on.
func (h *Host) AwaitResumed(ctx context.Context, uuid libvirt.UUID) {
	ctx, cancel := context.WithTimeout(ctx, h.Config.Limits.HandshakeTimeout)
	defer cancel()
	h.Libvirt.AwaitResumed(ctx, uuid)
}

// ServeQEMU hands QEMU's connections at l to join, as virt's does. Its error is a session's cause.
func (h *Host) ServeQEMU(kind string, l net.Listener, log zerolog.Logger, join func(net.Conn) error) *stream.Cause {
	refused := func(uid int, err error) {
		log.Warn().Str("channel", kind).Int("uid", uid).AnErr("error", err).
			Msg("a process that is neither QEMU nor libvirt connected to QEMU's socket; closed")
	}
	if err := virt.ServeQEMU(l, h.QEMUUID, refused, join); err != nil {
		return &stream.Cause{Code: stream.CodeLocal, Text: fmt.Sprintf("accept QEMU's connection for %s: %v", kind, err)}
	}
	return nil
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
