package check

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/tlsconf"
)

// peerCheck is the check of one peer, step by step.
type peerCheck struct {
	*control.Findings
	host   *Host
	name   string
	conf   config.Peer
	rules  tlsconf.Rules
	policy *tlsconf.Policy
	shown  tlsconf.Identity // by its certificate
	said   *Answer          // of its sluice
	offers *control.Offers
}

func (h *Host) checkPeer(ctx context.Context, name string) ([]control.Finding, control.PeerView) {
	conf, _ := h.Config.Peer(name)
	p := &peerCheck{Findings: &control.Findings{Peer: name}, host: h, name: name, conf: conf}
	p.look(ctx)
	view := p.view(ctx) // which may add to what was found
	return p.List, view
}

func (p *peerCheck) look(ctx context.Context) {
	h, name := p.host, p.name
	if h.Peers == nil {
		p.Fail(certificates, "unusable", "see sluice check on this host", "this host has no usable certificates or TLS policy, so no peer can be reached: %v", h.Err)
		return
	}
	p.policy = h.policies().Peers[p.conf.Table()]
	var err error
	if p.rules, err = tlsconf.ParseRules(p.conf.Names); err != nil {
		p.Fail("names", "rules", "correct it", "peers.%s.names: %v", name, err)
		return
	}
	if p.resolve(ctx) {
		p.talk(ctx)
	}
}

// step bounds one step of a check.
func (p *peerCheck) step(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, p.host.Config.Limits.HandshakeTimeout)
}

// resolve looks the peer's name up.
func (p *peerCheck) resolve(ctx context.Context) bool {
	const resolve = "resolve"
	host, _, err := net.SplitHostPort(p.conf.Address)
	if err != nil {
		p.Fail(resolve, "address", "correct peers."+p.conf.Table()+".address", "%v", err)
		return false
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	ctx, cancel := p.step(ctx)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		what := err.Error()
		var dns *net.DNSError
		if errors.As(err, &dns) {
			what = dns.Err
			if dns.Server != "" {
				what += ", says " + dns.Server
			}
			if dns.IsTimeout || dns.IsTemporary && !dns.IsNotFound {
				what = "the name service does not answer: " + what
			}
		}
		p.Fail(resolve, "name-unresolved", p.conf.SetAddress(p.name)+", or fix the name service", "the name %s does not resolve: %s", host, what)
		return false
	}
	var texts []string
	for _, a := range addrs {
		texts = append(texts, a.Unmap().String())
	}
	p.OK(resolve, "%s is %s", host, strings.Join(texts, ", "))
	return true
}

// connect makes a TCP connection. That it cannot is a finding.
func (p *peerCheck) connect(ctx context.Context) (net.Conn, error) {
	const connect = "connect"
	limit := p.host.Config.Limits.HandshakeTimeout
	d := net.Dialer{Timeout: limit}
	c, err := d.DialContext(ctx, "tcp", p.conf.Address)
	var timeout interface{ Timeout() bool }
	switch {
	case err == nil:
		return c, nil
	case errors.Is(err, unix.ECONNREFUSED):
		p.Fail(connect, "port-closed", "start sluice there, or "+p.conf.SetAddress(p.name), "nothing listens at %s: the host is there and the port is closed (or a firewall rejects)", p.conf.Address)
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		p.Fail(connect, "unreachable", "check the route, and whether the host is up", "%s cannot be reached: %v", p.conf.Address, err)
	case errors.As(err, &timeout) && timeout.Timeout() && ctx.Err() == nil, errors.Is(err, unix.ETIMEDOUT):
		p.Fail(connect, "port-filtered", "open TCP port "+port(p.conf.Address)+" between the hosts", "no answer from %s within %v: a firewall drops the packets, or the host is off", p.conf.Address, limit)
	default:
		p.Fail(connect, "connect", "", "connect to %s: %v", p.conf.Address, err)
	}
	return nil, err
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}
