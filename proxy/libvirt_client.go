package proxy

import (
	"fmt"

	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/tlsconf"
)

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
func (d *Peers) recognize(who *tlsconf.Peer) (*stranger, error) {
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
