package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

const handshake = "TLS"

// shake runs a handshake over raw, within a step's time. crypto/tls carries
// the few bytes that follow, so that its errors are what tlsconf explains. A
// clock other than this host's is for finding out whether dates alone are wrong.
func (p *peerCheck) shake(ctx context.Context, raw net.Conn, clock func() time.Time, saw *tlsconf.Seen) (relay.Conn, error) {
	ctx, cancel := p.step(ctx)
	defer cancel()
	c, who, err := tlsconf.Connect(ctx, engine, raw, p.client(clock, saw))
	if err == nil {
		p.shown = who.Identity
	}
	return c, err
}

var engine = relay.TLS{Path: relay.CryptoTLS}

func (p *peerCheck) client(clock func() time.Time, saw *tlsconf.Seen) tlsconf.Client {
	return tlsconf.Client{
		Credentials: p.host.credentials(), Policy: p.policy, Name: p.name, Expect: p.rules, Protocols: []string{peer.ALPN}, Time: clock, Seen: saw,
	}
}

// handshakeFailed finds out why.
func (p *peerCheck) handshakeFailed(ctx context.Context, err error, saw *tlsconf.Seen) {
	if saw.Finished && saw.Protocol != peer.ALPN {
		p.notSluice(ctx)
		return
	}
	he := p.explain(err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		he.Cause = tlsconf.CauseTimeout
		he.What = fmt.Sprintf("the peer accepted the connection and sent nothing within %v", p.host.Config.Limits.HandshakeTimeout)
		he.Remedy = "another program may be on that port, or the host hangs"
	case saw.Leaf != nil && he.Side == tlsconf.Here && (he.Cause == tlsconf.CauseExpired || he.Cause == tlsconf.CauseNotYetValid):
		leaf, now := saw.Leaf, time.Now()
		inside := leaf.NotBefore // of a CA that has run out since, too
		if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
			he.What = fmt.Sprintf("this host refused the peer: its certificate (%q, issued by %q) is valid from %s to %s", tlsconf.Shown(leaf.Subject), tlsconf.Shown(leaf.Issuer),
				stamp(leaf.NotBefore), stamp(leaf.NotAfter))
			inside = leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
		}
		he.What += fmt.Sprintf("; this host's clock says %s; %s", stamp(now), p.itsClock(ctx, inside))
		he.Remedy = "set the clocks right, or renew the certificate"
	}
	p.refusal(he)
}

func (p *peerCheck) explain(err error) *tlsconf.HandshakeError {
	var he *tlsconf.HandshakeError
	errors.As(p.policy.Explain(err, p.name), &he)
	e := *he
	return &e
}

func (p *peerCheck) refusal(he *tlsconf.HandshakeError) {
	p.Add(control.Finding{Check: handshake, Result: control.ResultError, Code: string(he.Cause), Side: string(he.Side), Text: he.What, Remedy: he.Remedy})
}

// itsClock asks a peer of which nothing is wrong but its dates: inside is when they were right.
func (p *peerCheck) itsClock(ctx context.Context, inside time.Time) string {
	raw, err := net.DialTimeout("tcp", p.conf.Address, p.host.Config.Limits.HandshakeTimeout)
	if err == nil {
		var conn relay.Conn
		if conn, err = p.shake(ctx, raw, func() time.Time { return inside }, new(tlsconf.Seen)); err == nil {
			var a *Answer
			if a, err = p.ask(ctx, &firstRead{Conn: conn}); err == nil {
				return fmt.Sprintf("%s's says %s", p.name, stamp(a.Time))
			}
		}
	}
	return fmt.Sprintf("%s's is not known (%v)", p.name, err)
}

// libvirtTaken is the byte with which libvirtd confirms a client's certificate
// (virNetServerClientSendConfirm in src/rpc/virnetserverclient.c).
const libvirtTaken = 1

// notSluice looks what it is that speaks TLS there, and not our protocol.
func (p *peerCheck) notSluice(ctx context.Context) {
	const remedy = "check the port of peers.%s.address; if libvirtd itself has sluice's port, give one of the two another (listen)"
	raw, err := net.DialTimeout("tcp", p.conf.Address, p.host.Config.Limits.HandshakeTimeout)
	if err != nil {
		p.Fail(handshake, "not-sluice", fmt.Sprintf(remedy, p.name), "%s speaks TLS but is not sluice", p.conf.Address)
		return
	}
	saw := new(tlsconf.Seen)
	ctx, cancel := p.step(ctx)
	defer cancel()
	first, err := tlsconf.Probe(ctx, engine, raw, p.client(nil, saw), min(2*time.Second, p.host.Config.Limits.HandshakeTimeout))
	holder := "something"
	if saw.Leaf != nil {
		holder = fmt.Sprintf("something with the certificate %q", tlsconf.Shown(saw.Leaf.Subject))
	}
	switch {
	case err == nil && first == libvirtTaken:
		p.Fail(handshake, "libvirtd", fmt.Sprintf(remedy, p.name), "%s is libvirtd's own TLS port, not sluice's", p.conf.Address)
	case saw.Asked && err != nil:
		p.Fail(handshake, "not-sluice", fmt.Sprintf(remedy, p.name), "%s speaks TLS and asks for a certificate, but is not sluice: it is %s, perhaps libvirtd, which refuses this host's certificate (%v)", p.conf.Address, holder, err)
	default:
		p.Fail(handshake, "not-sluice", fmt.Sprintf(remedy, p.name), "%s speaks TLS but is not sluice: it is %s", p.conf.Address, holder)
	}
}
