package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
	"github.com/virt-sluice/sluice/tlsconf"
)

const answer = "answer"

// talk connects, and asks the peer what it sees.
func (p *peerCheck) talk(ctx context.Context) {
	raw, err := p.connect(ctx)
	if err != nil {
		return
	}
	p.OK("connect", "%s answers", raw.RemoteAddr())
	saw := new(tlsconf.Seen)
	conn, err := p.shake(ctx, raw, nil, saw)
	if err != nil {
		p.handshakeFailed(ctx, err, saw)
		return
	}
	if err := p.host.Peers.Sole(p.host.Peers.Get(p.name), p.shown); err != nil {
		conn.Close()
		p.Fail(handshake, string(tlsconf.CauseDenied), "see names and patterns in docs/config.md, [peers.NAME]", "%v", err)
		return
	}
	state, _ := conn.ConnectionState()
	reading := &firstRead{Conn: conn}
	sent := time.Now()
	answer, err := p.ask(ctx, reading)
	if err != nil {
		p.askFailed(ctx, err, reading.err)
		return
	}
	p.secured(state)
	p.answered(answer, sent, time.Now())
}

// ask puts the question over conn, and closes it.
func (p *peerCheck) ask(ctx context.Context, conn relay.Conn) (*Answer, error) {
	ctx, cancel := p.step(ctx)
	defer cancel()
	o := &stream.Opener{
		Host: p.host.Config.Name, Peer: p.name, Address: p.conf.Address,
		Limits: stream.Limits{Handshake: p.host.Config.Limits.HandshakeTimeout},
		Dial:   func(context.Context, string, bool) (relay.Conn, error) { return conn, nil },
	}
	a := new(Answer)
	if err := o.Ask(ctx, "", Question, &Ask{Version: p.host.Version}, a); err != nil {
		return nil, err
	}
	return a, nil
}

// firstRead keeps the error with which reading ended: in TLS 1.3 a server's
// refusal of the client's certificate comes after the handshake.
type firstRead struct {
	relay.Conn
	err error
}

func (c *firstRead) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil && c.err == nil {
		c.err = err
	}
	return n, err
}

// askFailed finds out why. readErr is the connection's, if it ended.
func (p *peerCheck) askFailed(ctx context.Context, err, readErr error) {
	var cause *stream.Cause
	if errors.As(err, &cause) && readErr == nil && cause.Host != p.host.Config.Name {
		p.Add(refusedBy(cause))
		return
	}
	if errors.As(err, &cause) && cause.Code == stream.CodeVersion {
		p.Fail(answer, stream.CodeVersion, "update the older sluice", "%s", cause.Text)
		return
	}
	if readErr == nil || ctx.Err() != nil {
		p.Fail(answer, "no-answer", "look at the log of the sluice there", "%v", err)
		return
	}
	he := p.explain(readErr)
	if errors.Is(readErr, io.EOF) || errors.Is(readErr, relay.ErrTruncated) {
		he.Cause = tlsconf.CauseClosed
		he.What = fmt.Sprintf("%s ended the connection without an answer", p.name)
		he.Remedy = "look at its log"
	}
	p.refusal(he)
}

// refusedBy is a peer's refusal in its own words, in which "this host" is the peer.
func refusedBy(cause *stream.Cause) control.Finding {
	text := strings.TrimPrefix(cause.Text, "this host refused the peer: ")
	f := control.Finding{Check: answer, Result: control.ResultError, Code: cause.Code, Side: string(tlsconf.There),
		Text: cause.Host + " refuses this host: " + strings.ReplaceAll(text, "this host", cause.Host)}
	switch tlsconf.Cause(cause.Code) {
	case tlsconf.CauseExpired, tlsconf.CauseNotYetValid:
		// Its words have its own clock, and the date that this is beyond.
		f.Text += fmt.Sprintf("; this host's clock says %s", stamp(time.Now()))
	}
	return f
}

// secured says what the handshake came to.
func (p *peerCheck) secured(state tls.ConnectionState) {
	leaf := state.PeerCertificates[0]
	id, err := tlsconf.IdentityOf(leaf)
	if err != nil {
		return // the handshake would have failed
	}
	if left := time.Until(leaf.NotAfter); left <= leaf.NotAfter.Sub(leaf.NotBefore)/5 {
		p.Warn(handshake, "expires", "renew it", "its certificate %s", ends(leaf.NotAfter, time.Now()))
	}
	p.OK(handshake, "%s with %s and %v; it shows %s, issued by %q; %s", strings.ReplaceAll(tls.VersionName(state.Version), " ", ""), tls.CipherSuiteName(state.CipherSuite), state.CurveID,
		id, leaf.Issuer, ends(leaf.NotAfter, time.Now()))
}

// aWhile is when two clocks are far enough apart to tell.
const aWhile = 30 * time.Second

// answered says what the peer sees.
func (p *peerCheck) answered(a *Answer, sent, received time.Time) {
	p.said, p.offers = a, a.Offers
	p.OK(answer, "%s is sluice %s, and knows this host as its peer %s; its TLS priority is %s", a.Host, a.Version, a.You, a.Priority)
	if a.Draining {
		p.Warn(answer, "draining", "wait until it has started again", "%s is stopping and accepts no new sessions", a.Host)
	}
	middle := sent.Add(received.Sub(sent) / 2)
	if apart := a.Time.Sub(middle); apart.Abs() > aWhile+received.Sub(sent) {
		p.Warn("clock", "clock", "set both by NTP: a wrong clock refuses good certificates", "the clocks are %v apart: this host's says %s, %s's %s",
			apart.Abs().Round(time.Second), stamp(middle), a.Host, stamp(a.Time))
	} else {
		p.OK("clock", "within %v of this host's", max(aWhile/30, apart.Abs().Round(time.Second)))
	}
	for _, w := range a.Warnings {
		p.Warn(answer, "its-certificates", "", "%s warns: %s", a.Host, w)
	}
	if a.LibvirtError != "" {
		p.Fail("libvirt", "libvirt", "", "%s reaches no libvirt: %s", a.Host, a.LibvirtError)
		return
	}
	p.OK("libvirt", "libvirt %s answers behind it", a.Libvirt)
	p.offered(a.Offers)
}
