package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// clientRule is a kind of libvirt client without a sluice, as configured.
type clientRule struct {
	name   string
	access string
	rules  tlsconf.Rules
	memory *stream.Memory // holds what they send
}

func makeClientRules(conf map[string]config.Client) ([]*clientRule, error) {
	var all []*clientRule
	for _, name := range slices.Sorted(maps.Keys(conf)) {
		rules, err := tlsconf.ParseRules(conf[name].Names)
		if err != nil {
			return nil, fmt.Errorf("clients.%s.names: %w", name, err)
		}
		all = append(all, &clientRule{name: name, access: conf[name].Access, rules: rules})
	}
	return all, nil
}

// stranger is a libvirt client without a sluice that has come in by the port.
type stranger struct {
	name    string // of its table
	bare    *peer  // that comes without its sluice
	access  string
	memory  *stream.Memory
	who     string // for the log
	refusal error  // why it may do nothing, in words for it
}

// recognize decides what a client may do whose certificate is good. The error
// is in words for it.
func (d *Daemon) recognize(who *tlsconf.Peer) (*stranger, error) {
	id := who.Identity
	if d.dnList != nil {
		if _, ok := d.dnList.Match(id); !ok {
			return nil, denied("access denied: your certificate is valid, but tls_allowed_dn_list on %s does not have its distinguished name, %q: add it there", d.Config.Name, id.DN)
		}
	}
	for _, c := range d.clients {
		if _, ok := c.rules.Match(id); ok {
			return &stranger{name: c.name, access: c.access, memory: c.memory, who: fmt.Sprintf("client %s (%s)", c.name, id)}, nil
		}
	}
	if p := d.identify(id); p != nil {
		if p.mayComeBare() {
			return &stranger{name: p.name, bare: p, access: p.access(), memory: p.memory, who: fmt.Sprintf("peer %s without its sluice (%s)", p.name, id)}, d.within(p, who)
		}
		return nil, denied(
			"access denied: %s (%s) comes without its sluice, by libvirt's own protocol, and peers.%s.without_sluice on %s does not allow that; a libvirt client of another kind has its name under [clients.NAME], in names",
			p.name, id, p.name, d.Config.Name)
	}
	return nil, denied(
		"access denied: the connection did not ask for sluice's protocol (%s), so it is a libvirt client's, and no client configured on %s has a name of its certificate (%s): add it there under [clients.NAME], in names",
		alpn, d.Config.Name, id)
}

// confirmation is what libvirtd sends once it has found a client's certificate
// in order; the client waits for it (virNetServerClientCheckAccess).
var confirmation = []byte{1}

// serveStranger answers a libvirt client as libvirtd's own TLS port would,
// until its connection has ended. A client that may not come in gets the
// reason, in place of a connection that just closes.
func (d *Daemon) serveStranger(ctx context.Context, conn relay.Conn, s *stranger) {
	defer conn.Close()
	log := d.Log.With().Stringer("address", conn.RemoteAddr()).Str("client", s.who).Logger()
	conn.SetDeadline(time.Now().Add(d.Config.Limits.HandshakeTimeout))
	_, err := conn.Write(confirmation)
	if err != nil {
		log.Warn().Err(err).Msg("connection refused")
		return
	}
	if err = s.refusal; err != nil {
		d.refusals.add(err)
	} else {
		err = d.serveKnown(ctx, conn, s)
	}
	if err != nil {
		log.Warn().Err(err).Msg("connection refused")
		libvirtrpc.Refuse(conn, d.Config.Limits.HandshakeTimeout, fmt.Sprintf("sluice: %v", err))
	}
}

// serveKnown carries the connection of a client that may come in. An error
// means that nothing of it has been carried, and leaves it open.
func (d *Daemon) serveKnown(ctx context.Context, conn relay.Conn, s *stranger) error {
	info := stream.Info{ID: stream.NewID(), Work: session.WorkClient, Peer: s.name, Address: conn.RemoteAddr().String()}
	entry, err := d.Sessions.Add(info, control.Incoming)
	if err != nil {
		return err
	}
	log := session.Log(d.Log, info, control.Incoming).With().Str("client", s.who).Logger()
	server, err := d.Libvirt.Dial(ctx, s.access == config.AccessReadOnly)
	if err != nil {
		d.Sessions.End(entry, control.Failed, stream.CodeLocal, err.Error())
		return err
	}
	conn.SetDeadline(time.Time{})
	log.Info().Str("access", s.access).Msg("libvirt client connected")
	g := &guard{d: d, bare: s.bare, access: s.access, memory: s.memory, name: s.name, address: info.Address, who: s.who, log: log}
	cause := &stream.Cause{Code: stream.CodeDone}
	if err := g.serve(ctx, lax{conn}, relay.Quick(server), nil); err != nil {
		cause = session.CauseOf(err)
	}
	d.Sessions.EndLogged(entry, log, session.OutcomeOf(cause), cause)
	return nil
}

// lax is a client's connection that may end without close_notify: libvirt's
// clients send none. Packets have lengths, so that one that is cut off is seen.
type lax struct{ relay.Conn }

func (c lax) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, relay.ErrTruncated) {
		err = io.EOF
	}
	return n, err
}
