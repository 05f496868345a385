package peer

import (
	"fmt"

	"github.com/virt-sluice/sluice/tlsconf"
)

// LibvirtClient is a libvirt client without a sluice that has come in by the port.
type LibvirtClient struct {
	Name   string // of its table
	Listed bool   // that is one of [clients], and not Peer's
	Peer   *Peer  // whose certificate it has; nil if it is no peer's
	Access string
	*Taken
	Who         string // for the log
	Certificate string // the names in it
	Refusal     error  // why it may do nothing, in words for it
}

// recognize decides what a client may do whose certificate is good. The error is in words for it.
func (s *Set) recognize(who *tlsconf.Peer) (*LibvirtClient, error) {
	id := who.Identity
	if s.dnList != nil {
		if _, ok := s.dnList.Match(id); !ok {
			return nil, Denied("access denied: your certificate is valid, but tls_allowed_dn_list on %s does not have its distinguished name, %q: add it there%s", s.Config.Name, id.DN, orHint(s.dnList.Hint(id)))
		}
	}
	p, several := s.Identify(id)
	for _, c := range s.clients {
		if _, ok := c.rules.Match(id); ok {
			return &LibvirtClient{Name: c.name, Listed: true, Peer: p, Access: c.access, Taken: c.Taken, Who: fmt.Sprintf("client %s (%s)", c.name, id), Certificate: id.String()}, nil
		}
	}
	if several != nil {
		return nil, Denied("access denied: your certificate is valid, but %v", several)
	}
	if p != nil {
		return &LibvirtClient{Name: p.Name, Peer: p, Access: p.Access(), Taken: p.Taken, Who: fmt.Sprintf("peer %s past its sluice (%s)", p.Name, id), Certificate: id.String()}, s.within(p, who)
	}
	for _, c := range s.clients {
		if hint := c.rules.Hint(id); hint != "" {
			return nil, Denied("access denied: no client configured on %s has a name in its certificate (%s): clients.%s.names has it in another form: %s", s.Config.Name, id, c.name, hint)
		}
	}
	return nil, Denied(
		"access denied: the connection did not ask for sluice's protocol (%s), so it is a libvirt client's, and no client configured on %s has a name in its certificate (%s): add it there under [clients.NAME], in names",
		ALPN, s.Config.Name, id)
}

// LibvirtConfirmation is what libvirtd sends once it has found a client's certificate
// in order; the client waits for it (virNetServerClientCheckAccess).
var LibvirtConfirmation = []byte{1}
