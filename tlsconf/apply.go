package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
)

// PolicyError is a handshake that would have ended outside the policy.
type PolicyError struct {
	What    string   // what it would have ended on, for a person
	Allowed []string // what the policy allows instead; may be empty
	Policy  *Policy
}

func (e *PolicyError) Error() string {
	s := fmt.Sprintf("%s, which this host's TLS priority %q does not allow", e.What, e.Policy.Source)
	if len(e.Allowed) > 0 {
		s += "; it allows " + strings.Join(e.Allowed, ", ")
	}
	return s
}

// apply puts the policy into a configuration. A MinVersion that is there already can only be
// raised.
func (p *Policy) apply(cfg *tls.Config) {
	cfg.MinVersion = max(cfg.MinVersion, p.min)
	cfg.MaxVersion = p.max
	cfg.CipherSuites = slices.Clone(p.suites12)
	cfg.CurvePreferences, _ = p.allGroups()
	if len(cfg.CurvePreferences) == 0 {
		// None means all to Go. No suite that would need a group is in the policy then.
		cfg.CurvePreferences = []tls.CurveID{tls.CurveP256}
	}
	if len(p.suites12) == 0 {
		// None means the defaults to Go. TLS 1.2 is not in the policy then.
		cfg.CipherSuites = []uint16{tls.TLS_FALLBACK_SCSV}
	}
	if m := maskOf(p.suites13); p.max >= tls.VersionTLS13 && m != allSuites13 {
		cfg.Rand = maskedRand(m)
	}
	schemes := slices.Concat(p.schemes13, p.schemes12)
	certs := slices.Clone(cfg.Certificates)
	for i := range certs {
		certs[i].SupportedSignatureAlgorithms = schemes
	}
	cfg.Certificates = certs
}

// verify refuses a handshake that ends outside the policy, whatever crypto/tls and the peer
// have made of the configuration. chain is the peer's, from its leaf to the trusted CA.
func (p *Policy) verify(cs tls.ConnectionState, chain []*x509.Certificate) error {
	refuse := func(allowed []string, format string, args ...any) error {
		return &PolicyError{What: fmt.Sprintf(format, args...), Allowed: allowed, Policy: p}
	}
	if cs.Version < p.min || cs.Version > p.max {
		return refuse(p.Versions, "the handshake came to %s", tls.VersionName(cs.Version))
	}
	if !slices.Contains(p.suites13, cs.CipherSuite) && !slices.Contains(p.suites12, cs.CipherSuite) {
		return refuse(p.Suites, "the handshake came to the suite %s", tls.CipherSuiteName(cs.CipherSuite))
	}
	// TLS 1.2 without ECDHE has no group.
	if groups, names := p.allGroups(); cs.CurveID != 0 && !slices.Contains(groups, cs.CurveID) && !(p.bearsHybrid && cs.CurveID == goGroups[hybrid]) {
		return refuse(names, "the handshake came to the group %v", cs.CurveID)
	}
	if len(chain) == 0 {
		return nil
	}
	if !p.canSign(chain[0], cs.Version) {
		kind, bits := keyOf(chain[0])
		return refuse(nil, "the peer's certificate has an %s key of %d bits, which signs with none of the allowed algorithms", kind, bits)
	}
	if err := p.profile.check(chain); err != nil {
		return refuse(nil, "the peer's certificate %v", err)
	}
	return nil
}

// canSign tells whether a certificate's key can make one of the signatures that the policy allows.
func (p *Policy) canSign(c *x509.Certificate, version uint16) bool {
	kind, bits := keyOf(c)
	allowed := p.schemes12
	if version >= tls.VersionTLS13 {
		allowed = p.schemes13
	}
	return slices.ContainsFunc(allowed, func(s tls.SignatureScheme) bool {
		switch s {
		case tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512:
			return kind == "RSA"
		case tls.PKCS1WithSHA1, tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512:
			return kind == "RSA" && version < tls.VersionTLS13
		case tls.Ed25519:
			return kind == "Ed25519"
		case tls.ECDSAWithP256AndSHA256:
			return kind == "EC" && (bits == 256 || version < tls.VersionTLS13)
		case tls.ECDSAWithP384AndSHA384:
			return kind == "EC" && (bits == 384 || version < tls.VersionTLS13)
		case tls.ECDSAWithP521AndSHA512:
			return kind == "EC" && (bits == 521 || version < tls.VersionTLS13)
		case tls.ECDSAWithSHA1:
			return kind == "EC" && version < tls.VersionTLS13
		}
		return false
	})
}

// Check tells which of this host's certificates the policy has no use for, before a peer does.
func (p *Policy) Check(c *Credentials) []Finding {
	var out []Finding
	for i, certs := range [][]tls.Certificate{c.server, c.client} {
		pairs := c.Found.Server
		if i == 1 {
			pairs = c.Found.Client
		}
		for j, t := range certs {
			file := c.Found.Layout
			if j < len(pairs) {
				file = pairs[j].Cert
			}
			chain, err := c.ownChain(t)
			if err != nil {
				continue // told by Load
			}
			kind, bits := keyOf(t.Leaf)
			var f *Finding
			// Two sluices come to the highest version.
			if !p.canSign(t.Leaf, p.max) {
				f = problem(file, "have it issued for another kind of key, or allow its signatures (SIGN-…)",
					"its %s key of %d bits signs with none of the algorithms that the TLS priority %q allows", kind, bits, p.Source)
			} else if err := p.profile.check(chain); err != nil {
				f = problem(file, "have it issued for a stronger key, or set a lower %PROFILE_", "the TLS priority %q refuses it: %v", p.Source, err)
			}
			if f != nil && !slices.Contains(out, *f) {
				out = append(out, *f)
			}
		}
	}
	return out
}
