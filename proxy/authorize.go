package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/tlsconf"
)

// authorize decides who a connection's certificate stands for and whether it
// may come in, once the handshake has proved that the other end has its key.
// verify is the check of the certificate itself: chain, dates, revocation,
// role, policy. The error is a *stream.Cause for the one at the other end, in
// words; its code is a tlsconf.Cause.
func (d *Daemon) authorize(state tls.ConnectionState, creds *tlsconf.Credentials, verify func(tls.ConnectionState) error) (*peer, error) {
	if err := verify(state); err != nil {
		return nil, plainly(err, "")
	}
	id, err := tlsconf.IdentityOf(state.PeerCertificates[0])
	if err != nil {
		return nil, &stream.Cause{Code: string(tlsconf.CauseBadCert), Text: fmt.Sprintf("your certificate's names can't be used: %v", err)}
	}
	p := d.identify(id)
	if p == nil {
		return nil, denied("your certificate is valid, but no peer configured on %s has its name (%s): add it there under [peers.NAME], in names", d.Config.Name, id)
	}
	if d.dnList != nil {
		if _, ok := d.dnList.Match(id); !ok {
			return nil, denied("your certificate is valid, but tls_allowed_dn_list on %s does not have its distinguished name, %q: add it there", d.Config.Name, id.DN)
		}
	}
	if err := d.within(p, creds, state); err != nil {
		return nil, err
	}
	return p, nil
}

// within checks a handshake, which went by the host's policy, by p's own, which
// may be stricter.
func (d *Daemon) within(p *peer, creds *tlsconf.Credentials, state tls.ConnectionState) error {
	policy := d.certs.with(p)
	if policy == d.certs.host() {
		return nil
	}
	err := creds.Server(tlsconf.Options{Policy: policy, Time: d.clock}).VerifyConnection(state)
	if err == nil {
		err = policy.Finish(state)
	}
	if err == nil {
		return nil
	}
	return plainly(err, fmt.Sprintf("%s has a priority of its own for the peer %s: set the same one on both hosts", d.Config.Name, p.name))
}

func denied(format string, args ...any) error {
	return &stream.Cause{Code: string(tlsconf.CauseDenied), Text: fmt.Sprintf(format, args...)}
}

// identify finds the configured peer whose rules match a certificate's names.
func (d *Daemon) identify(id tlsconf.Identity) *peer {
	for _, name := range slices.Sorted(maps.Keys(d.peers)) {
		if _, ok := d.peers[name].rules.Match(id); ok {
			return d.peers[name]
		}
	}
	return nil
}

// plainly is what tlsconf says of a handshake, without whom it was with, and
// with another remedy if there is one.
func plainly(err error, remedy string) error {
	var he *tlsconf.HandshakeError
	if !errors.As(tlsconf.Explain(err, ""), &he) {
		return err
	}
	if remedy == "" {
		remedy = he.Remedy
	}
	return &stream.Cause{Code: string(he.Cause), Text: fmt.Sprintf("%s; %s", he.What, remedy)}
}
