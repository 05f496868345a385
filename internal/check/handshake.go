package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

// ALPN is the protocol that sluices speak with one another.
const ALPN = "sluice/1"

const handshake = "TLS"

// seen is what a handshake has shown, also one that failed.
type seen struct {
	leaf     *x509.Certificate // the peer's
	finished bool              // the peer's side is through, whatever we make of it
	protocol string            // that it chose
	trusts   [][]byte          // the CAs that it asked for, DER
	asked    bool              // for a certificate at all
}

// client makes the connection's configuration and says what it saw. A clock
// other than this host's is for finding out whether dates alone are wrong.
func (p *peer) client(clock func() time.Time, saw *seen) *tls.Config {
	cfg := p.host.Credentials.Client(p.rules, tlsconf.Options{NextProtos: []string{ALPN}, Policy: p.policy, Time: clock})
	cfg.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
		if len(raw) > 0 {
			saw.leaf, _ = x509.ParseCertificate(raw[0])
		}
		return nil
	}
	verify := cfg.VerifyConnection
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		saw.finished, saw.protocol = true, state.NegotiatedProtocol
		return verify(state)
	}
	ShowCertificate(cfg, func(req *tls.CertificateRequestInfo) { saw.asked, saw.trusts = true, req.AcceptableCAs })
	return cfg
}

// shake runs a handshake over raw, within a step's time. crypto/tls carries
// the few bytes that follow, so that its errors are what tlsconf explains.
func (p *peer) shake(ctx context.Context, raw net.Conn, cfg *tls.Config) (relay.Conn, error) {
	ctx, cancel := p.step(ctx)
	defer cancel()
	gated, cfg := tlsconf.Gate(raw, cfg)
	return relay.TLS{Path: relay.CryptoTLS}.Client(ctx, gated, cfg)
}

// handshakeFailed finds out why.
func (p *peer) handshakeFailed(ctx context.Context, err error, saw *seen) {
	if saw.finished && saw.protocol != ALPN {
		p.notSluice(ctx)
		return
	}
	he := p.explain(err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		he.Cause = tlsconf.CauseTimeout
		he.What = fmt.Sprintf("the peer took the connection and said nothing within %v", p.host.Config.Limits.HandshakeTimeout)
		he.Remedy = "something else than sluice may be on that port, or the host is frozen"
	case saw.leaf != nil && he.Side == tlsconf.Here && (he.Cause == tlsconf.CauseExpired || he.Cause == tlsconf.CauseNotYetValid):
		leaf, now := saw.leaf, time.Now()
		inside := leaf.NotBefore // of a CA that has run out since, too
		if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
			he.What = fmt.Sprintf("this host refused the peer: its certificate (%q, issued by %q) is valid from %s to %s", tlsconf.Shown(leaf.Subject), tlsconf.Shown(leaf.Issuer),
				stamp(leaf.NotBefore), stamp(leaf.NotAfter))
			inside = leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
		}
		he.What += fmt.Sprintf("; this host's clock says %s; %s", stamp(now), p.itsClock(ctx, inside))
		he.Remedy = "set the clocks right, or have the certificate renewed"
	}
	p.refusal(he)
}

func (p *peer) explain(err error) *tlsconf.HandshakeError {
	var he *tlsconf.HandshakeError
	errors.As(p.policy.Explain(err, p.name), &he)
	e := *he
	return &e
}

func (p *peer) refusal(he *tlsconf.HandshakeError) {
	p.add(control.Finding{Check: handshake, Result: control.ResultError, Code: string(he.Cause), Side: string(he.Side), Text: he.What, Remedy: he.Remedy})
}

// itsClock asks a peer of which nothing is wrong but its dates: inside is when
// they were right.
func (p *peer) itsClock(ctx context.Context, inside time.Time) string {
	raw, err := net.DialTimeout("tcp", p.conf.Address, p.host.Config.Limits.HandshakeTimeout)
	if err == nil {
		var conn relay.Conn
		if conn, err = p.shake(ctx, raw, p.client(func() time.Time { return inside }, new(seen))); err == nil {
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
func (p *peer) notSluice(ctx context.Context) {
	const remedy = "check the port of peers.%s.address; if libvirtd itself has sluice's port, give one of the two another (listen)"
	raw, err := net.DialTimeout("tcp", p.conf.Address, p.host.Config.Limits.HandshakeTimeout)
	if err != nil {
		p.fail(handshake, "not-sluice", fmt.Sprintf(remedy, p.name), "%s speaks TLS but is no sluice", p.conf.Address)
		return
	}
	defer raw.Close()
	saw := new(seen)
	cfg := p.client(nil, saw)
	cfg.NextProtos = nil
	cfg.VerifyConnection = nil // nothing is believed of it, and nothing is sent to it
	conn, err := p.shake(ctx, raw, cfg)
	var b [1]byte
	if err == nil {
		conn.SetReadDeadline(time.Now().Add(min(2*time.Second, p.host.Config.Limits.HandshakeTimeout)))
		_, err = conn.Read(b[:])
		defer conn.Close()
	}
	holder := "something"
	if saw.leaf != nil {
		holder = fmt.Sprintf("something with the certificate %q", tlsconf.Shown(saw.leaf.Subject))
	}
	switch {
	case err == nil && b[0] == libvirtTaken:
		p.fail(handshake, "libvirtd", fmt.Sprintf(remedy, p.name), "%s is libvirtd's own TLS port and no sluice's", p.conf.Address)
	case saw.asked && err != nil:
		p.fail(handshake, "not-sluice", fmt.Sprintf(remedy, p.name), "%s speaks TLS, wants a certificate, and is no sluice: it is %s, libvirtd perhaps, which does not take this host's certificate (%v)", p.conf.Address, holder, err)
	default:
		p.fail(handshake, "not-sluice", fmt.Sprintf(remedy, p.name), "%s speaks TLS and is no sluice: it is %s", p.conf.Address, holder)
	}
}
