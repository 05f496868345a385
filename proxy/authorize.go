package proxy

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/tlsconf"
)

// authorize decides whom a good certificate stands for and whether it may come
// in. The error is a *stream.Cause for the one at the other end, in words; its
// code is a tlsconf.Cause.
func (d *Peers) authorize(who *tlsconf.Peer) (*peer, error) {
	p := d.identify(who.Identity)
	if p == nil {
		return nil, denied("your certificate is valid, but no peer configured on %s has its name (%s): add it there under [peers.NAME], in names", d.Config.Name, who.Identity)
	}
	if d.dnList != nil {
		if _, ok := d.dnList.Match(who.Identity); !ok {
			return nil, denied("your certificate is valid, but tls_allowed_dn_list on %s does not have its distinguished name, %q: add it there", d.Config.Name, who.DN)
		}
	}
	return p, d.within(p, who)
}

// within checks a handshake, which went by the host's policy, by p's own, which
// may be stricter.
func (d *Peers) within(p *peer, who *tlsconf.Peer) error {
	policy := d.Certs.with(p)
	if policy == d.Certs.host() {
		return nil
	}
	if err := who.Within(policy); err != nil {
		return plainly(err, fmt.Sprintf("%s has a priority of its own for the peer %s: set the same one on both hosts", d.Config.Name, p.name))
	}
	return nil
}

func denied(format string, args ...any) error {
	return &stream.Cause{Code: string(tlsconf.CauseDenied), Text: fmt.Sprintf(format, args...)}
}

// identify finds the configured peer whose rules match a certificate's names.
func (d *Peers) identify(id tlsconf.Identity) *peer {
	for _, name := range slices.Sorted(maps.Keys(d.All)) {
		if _, ok := d.All[name].rules.Match(id); ok {
			return d.All[name]
		}
	}
	return nil
}

// plainly is what tlsconf says of a handshake, without whom it was with, and
// with another remedy if there is one. A *stream.Cause is in words already.
func plainly(err error, remedy string) error {
	var cause *stream.Cause
	if errors.As(err, &cause) {
		return cause
	}
	var he *tlsconf.HandshakeError
	if !errors.As(tlsconf.Explain(err, ""), &he) {
		return err
	}
	if remedy == "" {
		remedy = he.Remedy
	}
	return &stream.Cause{Code: string(he.Cause), Text: fmt.Sprintf("%s; %s", he.What, remedy)}
}
