package tlsconf

import "crypto/tls"

// hybrid is a group of which one half is X25519 and the other withstands quantum computers, so that
// what is recorded of a connection today can't be read by one later. GnuTLS has it since 3.8.9, and
// not in every level. Here it is added to each policy that has X25519, unless the policy lists the
// groups that it wants one by one, or names this one to take it away. crypto/tls prefers it to all
// others, and takes another with peers that do not know it.
const hybrid = "X25519-MLKEM768"

// addHybrid adds it where it may be. A policy that lists its groups, X25519 among them, bears it
// where a handshake has come to it by another policy: see [Peer.Within].
func (p *Policy) addHybrid(r resolved, l *lists, sys *System) {
	p.bearsHybrid = has(r.versions, "TLS1.3") && has(r.groups, "X25519") && !l.noHybrid && !has(sys.disabledGroups, hybrid)
	if !p.bearsHybrid || has(r.groups, hybrid) || l.ownGroups || sys.allowlist {
		return
	}
	p.Added = append(p.Added, Note{Token: "GROUP-" + hybrid, Why: "comes first, with peers that know it: what is recorded today stays secret from quantum computers; -GROUP-" + hybrid + " takes it away"})
}

// Offered are the names of all groups that a handshake may end on.
func (p *Policy) Offered() []string {
	_, names := p.allGroups()
	return names
}

// allGroups are the groups that a handshake may end on.
func (p *Policy) allGroups() (ids []tls.CurveID, names []string) {
	if len(p.Added) > 0 {
		ids, names = append(ids, goGroups[hybrid]), append(names, hybrid)
	}
	return append(ids, p.groups...), append(names, p.Groups...)
}
