package tlsconf

import (
	"crypto/tls"
	"reflect"
	"slices"
)

// finish checks what shows only once a handshake is done: whether TLS 1.2 has the extended master
// secret, and the algorithm with which the peer has signed it. crypto/tls offers all the algorithms
// that it has, whatever the policy says, so an RSA peer may sign with another hash than SIGN-
// allows. It is to be called after each handshake with a policy; a nil policy allows everything.
// The error is a *PolicyError.
//
// What this host signs with needs no check: its certificates carry the list of what they may be
// used with.
func (p *Policy) finish(cs tls.ConnectionState) error {
	if p == nil {
		return nil
	}
	if p.SessionHash && cs.Version < tls.VersionTLS13 {
		// crypto/tls tells in no other way: without it there is nothing that keys may be exported
		// from.
		if _, err := cs.ExportKeyingMaterial("EXPERIMENTAL sluice", nil, 1); err != nil {
			return &PolicyError{What: "the peer does TLS 1.2 without the extended master secret", Policy: p}
		}
	}
	scheme := peerSigned(cs)
	allowed := p.schemes12
	if cs.Version >= tls.VersionTLS13 {
		allowed = p.schemes13
	}
	what := "the peer signed with " + scheme.String()
	switch {
	case slices.Contains(allowed, scheme):
		return nil
	case scheme != 0:
	case cs.Version < tls.VersionTLS13, p.allSchemes():
		return nil // there is none where the key exchange is RSA's own
	default:
		what = "this Go does not tell with what the peer signed"
	}
	var names []string
	for _, s := range allowed {
		names = append(names, s.String())
	}
	return &PolicyError{What: what, Allowed: names, Policy: p}
}

// peerSigned reads the one field of a ConnectionState that tells, which crypto/tls keeps to itself
// (testingOnlyPeerSignatureAlgorithm, Go 1.25). TestFinish fails if a new Go has none or calls it
// otherwise; then nothing is known, 0 is returned, and a policy that leaves algorithms out refuses
// what it cannot see.
func peerSigned(cs tls.ConnectionState) tls.SignatureScheme {
	f := reflect.ValueOf(cs).FieldByName("testingOnlyPeerSignatureAlgorithm")
	if !f.IsValid() || f.Kind() != reflect.Uint16 {
		return 0
	}
	return tls.SignatureScheme(f.Uint())
}
