package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/direct"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/transfer"
	"github.com/virt-sluice/sluice/stream"
)

// prepareWithoutSluice is prepare for a peer that comes without its sluice. Its libvirt
// runs the migration, with libvirt's own safety and no more, and its QEMU
// connects to this host by itself: by its own TLS, which ends in sluice, or, if
// the configuration says so, in clear.
func (g *destinationFilter) prepareWithoutSluice(c *libvirtrpc.Call, call *libvirtrpc.Prepare, t transfer.Transfer, guest guest) outcome {
	p, a := g.withoutSluice, &preparedGuest{guest: guest, transfer: t}
	refuse := func(format string, args ...any) outcome {
		words := fmt.Sprintf("sluice on %s: %s has no sluice: ", g.gateway.Config.Name, p.Name) + fmt.Sprintf(format, args...)
		g.log.Warn().Str("caller", g.who).Str("cause", words).Msg("migration refused")
		return outcome{outcomeErr(libvirtrpc.ErrOperationInvalid, "%s", words)}
	}
	native := t.Flags&libvirt.MigrateTLS != 0 && t.Flags&libvirt.MigrateTunnelled == 0
	var point func(*libvirtrpc.Reply) error
	var err error
	_, closed := direct.ClosedPorts(g.gateway.Config.Intercept)
	switch {
	case usesPath(call.Params):
		return outcome{g.denied(c, "unix sockets of migrations are made where %s chooses: leave out --migrateuri and --disks-uri", g.gateway.Config.Name)}
	case native:
		point, err = g.endTLS(a, call, t)
	case t.By == session.ByTunnel || t.By == "":
		err = g.enter(a, t)
	case p.Conf.WithoutSluice != config.WithoutPlain:
		return refuse("the guest's memory would go in clear, and peers.%s.without_sluice on %s allows QEMU's own TLS alone: add --tls (or --tunnelled)", p.Name, g.gateway.Config.Name)
	case p.SluiceSeen.Load():
		return refuse("the guest's memory would come in clear, and %s: add --tls (or --tunnelled), or %s", p.SeenText(), g.gateway.Peers.RestartHint(p))
	case closed != 0:
		return refuse("its QEMU would connect to a port that `sluice intercept` has closed here: add --tls (or --tunnelled), or `sluice intercept down` on %s", g.gateway.Config.Name)
	default:
		t.By = session.ByNothing
		if err = g.enter(a, t); err == nil {
			g.gateway.Sessions.InClear.Count(control.Incoming)
			g.log.Warn().Str("guest", guest.name).Msgf("%s has no sluice: the guest's memory and disks come in clear (peers.%s.without_sluice = %q)", p.Name, p.Name, config.WithoutPlain)
		}
	}
	if err != nil {
		return refused(libvirtrpc.ErrOperationInvalid, err)
	}
	if !g.expect(a) {
		a.release(arrival.NeverRan)
		return refused(libvirtrpc.ErrOperationInvalid, fmt.Errorf("guest %s is being migrated already over this connection", guest.name))
	}
	return outcome{libvirtrpc.Outcome{Body: call.Encode(), Reply: func(r *libvirtrpc.Reply) {
		if r.Err == nil && point != nil {
			if err := point(r); err != nil {
				r.Err = libvirtrpc.Errorf(libvirtrpc.ErrRPC, "sluice: %v", err)
			}
		}
		if r.Err != nil {
			g.forget(guest.name, arrival.NeverRan)
			return
		}
		a.prepared.Store(true)
		a.setPhase(control.PhaseMemory)
		g.log.Info().Str("guest", guest.name).Msg("guest prepared")
	}}}
}

// endTLS makes the place where QEMU's own TLS of the source ends: libvirt
// here is told of unix sockets and of no TLS, and the source of ports of
// sluice's. point puts those into the reply.
func (g *destinationFilter) endTLS(a *preparedGuest, call *libvirtrpc.Prepare, t transfer.Transfer) (point func(*libvirtrpc.Reply) error, err error) {
	info := stream.Info{ID: stream.NewID(), Work: session.WorkSteered, Guest: a.guest.name, UUID: a.guest.uuid, Peer: g.name, Address: g.address}
	uri, own, err := call.Params.Text(libvirtrpc.ParamURI)
	if err != nil {
		return nil, err
	}
	host, port, err := wanted(uri)
	if err != nil {
		return nil, err
	}
	if a.entry, err = g.gateway.Sessions.Add(info, control.Incoming); err != nil {
		return nil, err
	}
	t.By = session.ByQEMUThere
	a.entry.SecuredBy(t.Protection())
	a.entry.SetPhase(control.PhasePrepare)
	log := session.Log(g.gateway.Log, info, control.Incoming)
	e := direct.NewTLSEnd(g.gateway.Host, g.withoutSluice, log)
	if err = e.Open(info.ID, direct.TLSEndData{Disks: t.Disks(), Postcopy: t.Postcopy(), Port: port}); err != nil {
		e.End(false)
		g.gateway.Sessions.End(a.entry, control.Failed, stream.CodeLocal, err.Error())
		return nil, err
	}
	a.entry.SetChannels(e.Channels.Status)
	a.native = e
	a.leave = func(what arrival.Verdict) {
		g.gateway.Work.Go(func() { // the answer to Finish is not to wait for it
			cause := e.End(what == arrival.Ran)
			if what == arrival.Ran {
				cause = &stream.Cause{Code: stream.CodeDone}
			} else if cause == nil {
				cause = &stream.Cause{Code: stream.CodeCancelled, Host: g.gateway.Config.Name, Text: "the libvirt client gave the guest up, or went away"}
			}
			g.gateway.Sessions.EndMigration(a.entry, log, what == arrival.Ran, cause)
		})
	}
	call.Params = ownParams(call.Params.Without(paramTLSDestination), e.Dir, t)
	call.Flags &^= uint32(libvirt.MigrateTLS)
	return func(r *libvirtrpc.Reply) error {
		prepared, err := libvirtrpc.DecodePrepared(r.Body)
		if err != nil {
			return err
		}
		if !own || port == 0 {
			at := fmt.Sprintf("tcp:%s:%d", host, e.Ports[stream.ChannelMemory])
			prepared.URI = &at
		}
		if t.Disks() {
			if prepared.Cookie, _, err = libvirtrpc.SetNBDPort(prepared.Cookie, e.Ports[stream.ChannelDisk]); err != nil {
				return err
			}
		}
		r.Body = prepared.Encode()
		return nil
	}, nil
}

// paramTLSDestination is the name that the source expects in a certificate
// (VIR_MIGRATE_PARAM_TLS_DESTINATION).
const paramTLSDestination = "tls.destination"

// wanted is where the source wants to connect to, as a URI of its says:
// HOST, this host's own name unless it says, and a port, 0 unless it says.
func wanted(uri string) (host string, port int, err error) {
	if uri == "" {
		host, err = os.Hostname() // as libvirt does
		return host, 0, err
	}
	u, err := transfer.ParseTCP(uri)
	if err != nil || u.Hostname() == "" {
		return "", 0, fmt.Errorf("the migration's URI is %.80q, where tcp:HOST is meant", uri)
	}
	host = u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if p := u.Port(); p != "" {
		if port, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", p); err != nil {
			return "", 0, errors.New("the migration's URI has a port that is none")
		}
	}
	return host, port, nil
}
