package migration

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/virt"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
)

// Call makes the calls that the peer's sluice would answer, with libvirt there.
func (b *withoutSluice) Call(ctx context.Context, name string, body, reply any) error {
	b.calls.Lock()
	defer b.calls.Unlock()
	if b.ctx.Err() != nil {
		return context.Cause(b.ctx)
	}
	switch name {
	case arrival.CallPrepare, arrival.CallPrepareWith:
		return b.prepare(ctx, body.(*arrival.PrepareCall), reply.(*arrival.PrepareReply))
	case arrival.CallFinish:
		r, err := b.finish(body.(*arrival.FinishCall))
		if out, ok := reply.(*arrival.FinishReply); ok && out != nil && err == nil {
			*out = *r
		}
		return err
	}
	return &stream.Cause{Code: stream.CodeRefused, Host: b.source.Config.Name, Text: "without a sluice there is no " + name}
}

func (b *withoutSluice) prepare(ctx context.Context, call *arrival.PrepareCall, reply *arrival.PrepareReply) error {
	limit := b.source.Config.Limits.PrepareTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("QEMU was not started within %v (limits.prepare_timeout)", limit))
	defer cancel()
	if err := arrival.KnowsValues(ctx, b.steps.Virt, b.peer.Name, call.Values); err != nil {
		return &stream.Cause{Code: stream.CodeRefused, Host: b.source.Config.Name, Text: err.Error()}
	}
	switch state, err := b.steps.Virt.State(ctx, b.steps.UUID); {
	case err != nil:
		return b.said("looking for the guest", err)
	case !state.Absent:
		return &stream.Cause{Code: stream.CodeRefused, Host: b.peer.Name, Text: fmt.Sprintf("guest %s (%s) is already on %s, %v", call.Name, b.info.UUID, b.peer.Name, state)}
	}
	b.steps.Flags = libvirt.DomainMigrateFlags(call.Flags) &^ arrival.SourceOnlyFlags
	if b.native && !b.offline() {
		b.steps.Flags |= libvirt.MigrateTLS
	}
	host, _, _ := b.peer.Conf.LibvirtAt()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	b.steps.Params = arrival.Params(call.Name, arrival.Where{Memory: "tcp://" + host}, call.Bandwidth, call.Parallel, call.Values)
	cookie, uri, err := b.steps.Prepare(ctx, call.XML, call.Cookie)
	if err != nil {
		return b.said("preparing the guest", err)
	}
	reply.Cookie = cookie
	b.prepared = true
	b.log.Info().Msg("guest prepared by libvirt there")
	if b.offline() {
		return nil
	}
	if err := b.learnPorts(uri, reply.Cookie); err != nil {
		return &stream.Cause{Code: stream.CodeProtocol, Host: b.source.Config.Name, Text: err.Error()}
	}
	return nil
}

// offline says whether the guest's definition goes alone, without memory.
func (b *withoutSluice) offline() bool { return b.steps.Flags&libvirt.MigrateOffline != 0 }

// learnPorts finds where QEMU there waits: libvirt's answer names the port of
// memory, its cookie that of disks.
func (b *withoutSluice) learnPorts(uri libvirt.OptString, cookie []byte) error {
	if len(uri) == 0 {
		return fmt.Errorf("libvirt on %s does not say where QEMU waits for the guest", b.peer.Name)
	}
	u, err := url.Parse(uri[0])
	if err != nil {
		return fmt.Errorf("libvirt on %s says that QEMU waits at %.80q", b.peer.Name, uri[0])
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		return fmt.Errorf("libvirt on %s says that QEMU waits at %.80q, which has no port", b.peer.Name, uri[0])
	}
	ports := map[string]int{stream.ChannelMemory: int(port)}
	if b.steps.Flags&(libvirt.MigrateNonSharedDisk|libvirt.MigrateNonSharedInc) != 0 {
		if ports[stream.ChannelDisk], err = libvirtrpc.NBDPort(cookie); err != nil {
			return fmt.Errorf("where QEMU on %s waits for disks: %w", b.peer.Name, err)
		}
	}
	b.ports.Store(&ports)
	return nil
}

// port is where QEMU there waits for a kind of channel.
func (b *withoutSluice) port(kind string) (int, error) {
	if ports := b.ports.Load(); ports != nil && (*ports)[kind] != 0 {
		return (*ports)[kind], nil
	}
	return 0, fmt.Errorf("QEMU on %s waits for no %s", b.peer.Name, kind)
}

// finish has libvirt there take the guest over, or give it up. What is under
// way goes on whatever becomes of the migration's context.
func (b *withoutSluice) finish(call *arrival.FinishCall) (*arrival.FinishReply, error) {
	if !b.prepared || b.finished {
		return nil, &stream.Cause{Code: stream.CodeRefused, Host: b.source.Config.Name, Text: "there is no guest to finish"}
	}
	if !call.Cancelled {
		if !b.offline() && len(b.channelStatus()) == 0 {
			return nil, &stream.Cause{Code: stream.CodeLocal, Host: b.source.Config.Name, Text: "no memory of the guest has gone, so there is nothing to finish"}
		}
		b.asked = true
	}
	limit := b.source.Config.Limits.FinishTimeout
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit, fmt.Errorf("libvirt did not answer within %v (limits.finish_timeout)", limit))
	defer cancel()
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	defer context.AfterFunc(b.ctx, func() { lost(context.Cause(b.ctx)) })() // no one is there to answer; what has been asked for goes on
	reply, err := b.steps.Finish(ctx, call)
	if err != nil {
		return b.unfinished(err)
	}
	b.finished = true
	if !call.Cancelled {
		reply.Downtime = b.downtime()
	}
	return reply, nil
}

// unfinished tells a Finish that libvirt has failed and undone from one of which no one can tell.
func (b *withoutSluice) unfinished(failure error) (*arrival.FinishReply, error) {
	cause := b.said("taking the guest over", failure)
	ctx, cancel := context.WithTimeout(context.Background(), b.source.Config.Limits.GiveUpTimeout)
	defer cancel()
	state, err := stateWithoutSluice(ctx, b.source, b.peer, b.steps.UUID)
	if why := arrival.Undetermined(cause, failure, state, err); why != "" {
		return &arrival.FinishReply{Undecided: why}, nil
	}
	b.finished = true
	return nil, cause
}

// downtime is in nanoseconds, as libvirt there has measured it.
func (b *withoutSluice) downtime() int64 {
	ctx, cancel := context.WithTimeout(context.Background(), b.source.Config.Limits.GiveUpTimeout)
	defer cancel()
	return b.steps.Downtime(ctx)
}

// said is an error of libvirt's there.
func (b *withoutSluice) said(doing string, err error) *stream.Cause {
	text := virt.Words(doing, err)
	if b.native && strings.Contains(err.Error(), "credentials") { // QEMU's words (crypto/tlscreds.c)
		text += fmt.Sprintf("; QEMU's own TLS needs ca-cert.pem, server-cert.pem and server-key.pem in migrate_tls_x509_cert_dir of %s's qemu.conf (/etc/pki/libvirt-migrate or /etc/pki/qemu unless set)", b.peer.Name)
	}
	return &stream.Cause{Code: stream.CodeLibvirt, Host: b.peer.Name, Text: text}
}

// join connects one connection of QEMU's to QEMU there, and those of a kind one after the other.
func (b *withoutSluice) join(ctx context.Context, kind string, local net.Conn) error {
	b.joining.Lock()
	defer b.joining.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, b.limits.Handshake, fmt.Errorf("no answer within %v (limits.handshake_timeout)", b.limits.Handshake))
	defer cancel()
	var remote relay.Conn
	port, err := b.port(kind)
	if err == nil {
		remote, err = b.qemu.Dial(ctx, kind, port, local)
	}
	if err == nil {
		err = b.channels.Carry(kind, local, remote, func(e *relay.Error) { b.log.Info().Str("cause", e.Error()).Msg("QEMU closed its end") })
	} else {
		local.Close()
	}
	if err != nil {
		c := session.CauseOf(err)
		c.Channel = kind
		b.Fail(c)
		return c
	}
	return nil
}
