package peer

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/tlsconf"
)

// authorize decides whom a good certificate stands for and whether it may come in. The error is a
// *stream.Cause for the one at the other end, in words; its code is a tlsconf.Cause.
func (s *Set) authorize(who *tlsconf.Peer) (*Peer, error) {
	p, err := s.Identify(who.Identity)
	switch {
	case err != nil:
		return nil, Denied("your certificate is valid, but %v", err)
	case p == nil:
		return nil, Denied("your certificate is valid, but no peer configured on %s has its name (%s): %s", s.Config.Name, who.Identity, s.remedy(who.Identity))
	}
	if s.dnList != nil {
		if _, ok := s.dnList.Match(who.Identity); !ok {
			return nil, Denied("your certificate is valid, but tls_allowed_dn_list on %s does not have its distinguished name, %q: add it there%s", s.Config.Name, who.DN, orHint(s.dnList.Hint(who.Identity)))
		}
	}
	return p, s.within(p, who)
}

// within checks a handshake, which went by the host's policy, by p's own, which may be stricter.
func (s *Set) within(p *Peer, who *tlsconf.Peer) error {
	policy := s.Policy(p)
	if policy == s.Policies.Host {
		return nil
	}
	if err := who.Within(policy); err != nil {
		return plainly(err, fmt.Sprintf("%s has its own priority string for the peer %s: set the same one on both hosts", s.Config.Name, p.Name))
	}
	return nil
}

// remedy is for a certificate whose names no peer has.
func (s *Set) remedy(id tlsconf.Identity) string {
	for _, name := range slices.Sorted(maps.Keys(s.All)) {
		if hint := s.All[name].Rules.Hint(id); hint != "" {
			return fmt.Sprintf("peers.%s.names has it in another form: %s", name, hint)
		}
	}
	if len(s.Config.Patterns()) > 0 && len(id.DNS) == 0 {
		return "by the patterns there a host is known by its DNS name (subjectAltName) alone, of which the certificate has none"
	}
	// names replaces the default, and the certificate that the peer shows where it is connected to
	// may be another.
	return "add it there under [peers.NAME], in names, beside the names that are expected of the peer already (NAME itself where there are none)"
}

// orHint is a hint behind a remedy, if there is one.
func orHint(hint string) string {
	if hint == "" {
		return ""
	}
	return "; " + hint
}

func Denied(format string, args ...any) error {
	return &stream.Cause{Code: string(tlsconf.CauseDenied), Text: fmt.Sprintf(format, args...)}
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
