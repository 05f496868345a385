package tlsconf

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// chainFault is why a certificate is not one that a CA vouches for.
type chainFault struct {
	cause  Cause
	what   string // goes on after "the certificate"
	remedy string
}

// untrusted is how the words begin where no CA that is trusted is at the end of a chain.
const untrusted = "does not come from a CA that this host trusts"

// diagnose says why crypto/x509 has refused a certificate. Of a chain that leads nowhere it says
// just that, whatever the link is that does not hold. between are the certificates that came with
// it, and cas those that are trusted.
func diagnose(err error, leaf *x509.Certificate, between, cas []*x509.Certificate, role x509.ExtKeyUsage, at time.Time) *chainFault {
	all := slices.Concat([]*x509.Certificate{leaf}, between, cas)
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var extension x509.UnhandledCriticalExtension
	switch {
	case errors.As(err, &unknown):
		return weakLink(leaf, between, cas)
	case errors.As(err, &extension):
		for _, c := range all {
			if len(c.UnhandledCriticalExtensions) > 0 {
				return &chainFault{CauseBadCert, fmt.Sprintf("can't be judged: %s has the critical extension %v, which Go does not know", ofChain(c, leaf), c.UnhandledCriticalExtensions[0]),
					"have it issued again without that extension, or with it as not critical"}
			}
		}
	case !errors.As(err, &invalid):
	case invalid.Reason == x509.IncompatibleUsage:
		return &chainFault{CauseUsage, "is not for its role: " + lacksUsage(leaf, between, cas, role, at), "have that one issued again with serverAuth and clientAuth, or a CA's without an extended key usage"}
	case invalid.Reason == x509.TooManyIntermediates:
		for _, c := range all {
			if c.IsCA && (c.MaxPathLen > 0 || c.MaxPathLenZero) {
				return &chainFault{CauseBadCert, fmt.Sprintf("has more CAs above it than %s allows: its path length (pathlen) is %d", ofChain(c, leaf), c.MaxPathLen),
					"have that CA's certificate issued again with a longer path length, or the host's by that CA itself"}
			}
		}
	case invalid.Reason == x509.CANotAuthorizedForThisName, invalid.Reason == x509.NameConstraintsWithoutSANs, invalid.Reason == x509.UnconstrainedName:
		return &chainFault{CauseBadCert, "has a name that the name constraints of a CA above it do not allow: " + invalid.Detail,
			"have it issued with names that the CA may vouch for, or the CA's certificate with other constraints"}
	case invalid.Reason == x509.NotAuthorizedToSign:
		return notACA(invalid.Cert, leaf)
	}
	return nil
}

// ofChain names one of a chain's certificates in a sentence about its first.
func ofChain(c, leaf *x509.Certificate) string {
	if c == leaf {
		return "it"
	}
	return fmt.Sprintf("the CA %q", Shown(c.Subject))
}

// weakLink follows a chain up to the link that does not hold.
func weakLink(leaf *x509.Certificate, between, cas []*x509.Certificate) *chainFault {
	for c, up := leaf, 0; up <= maxPeerChain; up++ {
		var above *x509.Certificate
		var err error
		for _, p := range slices.Concat(cas, between) {
			if bytes.Equal(p.RawSubject, c.RawIssuer) && p != c {
				if above, err = p, c.CheckSignatureFrom(p); err == nil {
					break
				}
			}
		}
		var insecure x509.InsecureAlgorithmError
		var constraint x509.ConstraintViolationError
		switch {
		case above == nil:
			what := untrusted
			if c != leaf {
				what += fmt.Sprintf(": %s was issued by %q, which is not one", ofChain(c, leaf), Shown(c.Issuer))
			}
			return &chainFault{CauseWrongCA, what + trusted(cas), ""}
		case err == nil:
			c = above
			continue
		case errors.As(err, &insecure):
			return &chainFault{CauseBadCert, fmt.Sprintf("can't be trusted: %s is signed with %v, which can be forged", ofChain(c, leaf), c.SignatureAlgorithm), "have it issued again, signed with SHA-256 or better"}
		case errors.As(err, &constraint):
			return notACA(above, leaf)
		case errors.Is(err, x509.ErrUnsupportedAlgorithm):
			return &chainFault{CauseBadCert, fmt.Sprintf("can't be checked: %s is signed by %q with %s", ofChain(c, leaf), Shown(above.Subject), foreignKey(above)), "use a CA with an ECDSA, RSA or Ed25519 key"}
		}
		return &chainFault{CauseWrongCA, fmt.Sprintf(untrusted+": %s names %q as its issuer, and the CA of that name here has another key (%v)", ofChain(c, leaf), Shown(c.Issuer), err),
			"if the CA was renewed with a new key, have both of its certificates in the CA files until all hosts' are issued by the new one"}
	}
	return nil
}

func notACA(c, leaf *x509.Certificate) *chainFault {
	why := "it does not say that it is a CA's (basicConstraints)"
	switch {
	case c.Version < 3:
		why = "it is of X.509 version 1, which has no way to say that it is a CA's"
	case c.IsCA:
		why = "its key usage does not allow signing certificates (keyCertSign)"
	}
	return &chainFault{CauseBadCert, fmt.Sprintf("can't be trusted: %s may not issue certificates: %s", ofChain(c, leaf), why), "have that CA's certificate issued again, as of version 3 with basicConstraints and keyCertSign"}
}

// lacksUsage names the certificate of a chain whose extended key usage lacks a role: a CA's bounds
// those below it.
func lacksUsage(leaf *x509.Certificate, between, cas []*x509.Certificate, role x509.ExtKeyUsage, at time.Time) string {
	name := usageName(role)
	chains, _ := leaf.Verify(x509.VerifyOptions{Roots: poolOf(cas), Intermediates: poolOf(between), CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	for _, chain := range chains {
		for _, c := range chain {
			if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 || slices.Contains(c.ExtKeyUsage, role) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) {
				continue
			}
			if c != chain[0] {
				return fmt.Sprintf("the extended key usage of the CA above it, %q, lacks %s, and bounds what it may be used for", Shown(c.Subject), name)
			}
			break
		}
	}
	return "its extended key usage lacks " + name
}

func usageName(role x509.ExtKeyUsage) string {
	if role == x509.ExtKeyUsageClientAuth {
		return "clientAuth (TLS web client)"
	}
	return "serverAuth (TLS web server)"
}

// foreignKey is the kind of a certificate's key, where Go does not have it.
func foreignKey(c *x509.Certificate) string {
	if kind := foreignKeys[keyOID(c)]; kind != "" {
		return kind + ", which Go does not have"
	}
	return "a key of a kind that Go does not have"
}

// maxTrusted is how many CAs are named where none of them is the right one.
const maxTrusted = 4

// trusted lists the CAs for a person.
func trusted(cas []*x509.Certificate) string {
	var names []string
	for _, ca := range cas[:min(len(cas), maxTrusted)] {
		names = append(names, fmt.Sprintf("%q", Shown(ca.Subject)))
	}
	s := " (this host trusts " + strings.Join(names, ", ")
	if more := len(cas) - maxTrusted; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s + ")"
}
