package tlsconf

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

var (
	errNoPeerCertificate = errors.New("the peer showed no certificate")
	errLongChain         = fmt.Errorf("the peer sent more than %d certificates", maxPeerChain)
)

// NameError is a peer whose certificate is good, and somebody else's.
type NameError struct {
	Got      Identity
	Expected Rules
	Err      error // set if the certificate's names could not be read at all
}

func (e *NameError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("the peer's names cannot be used: %v; expected %s", e.Err, e.Expected)
	}
	s := fmt.Sprintf("the peer's certificate is not the expected peer's: it holds %s; expected %s", e.Got, e.Expected)
	if hint := e.Expected.Hint(e.Got); hint != "" {
		s += "; " + hint
	}
	return s
}

func (e *NameError) Unwrap() error { return e.Err }

// ChainError is a peer whose certificate this host's CA does not vouch for, or not now.
type ChainError struct {
	Leaf *x509.Certificate // nil if the peer sent none
	Err  error             // of crypto/x509, mostly

	fault *chainFault // what it comes to; nil where Err says it
}

func (e *ChainError) Error() string {
	if e.Leaf == nil {
		return e.Err.Error()
	}
	return fmt.Sprintf("the peer's certificate (%q, issued by %q) was refused: %v", Shown(e.Leaf.Subject), Shown(e.Leaf.Issuer), e.Err)
}

func (e *ChainError) Unwrap() error { return e.Err }

// ProtocolError is a peer that does TLS and does not choose any of the protocols offered.
type ProtocolError struct{ Offered []string }

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("the peer chose none of the protocols offered (%s)", strings.Join(e.Offered, ", "))
}

// RevokedError is a peer whose CA has taken its certificate back.
type RevokedError struct {
	Cert *x509.Certificate // the peer's, or that of a CA above it
	File string            // the revocation list
	At   time.Time
}

func (e *RevokedError) Error() string {
	return fmt.Sprintf("the certificate %q (serial number %x) was revoked on %s, says %s", e.Cert.Subject, e.Cert.SerialNumber, stamp(e.At), e.File)
}

// UnprovedError is a revocation list that has the name of the peer's CA, and is not signed by it:
// it may be damaged, and whom it names is not known.
type UnprovedError struct {
	File   string
	N      int // of the file's lists, from 1
	Issuer string
	Err    error
}

func (e *UnprovedError) Error() string {
	return fmt.Sprintf("revocation list %d in %s, of %q, is not signed by the CA of that name in the peer's chain (%v), so this host cannot tell whether the peer's certificate was revoked", e.N, e.File, e.Issuer, e.Err)
}

func (e *UnprovedError) Unwrap() error { return e.Err }

// StaleError is a revocation list that has run out: what was revoked since is not known.
type StaleError struct {
	File       string
	Issuer     string
	NextUpdate time.Time
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("%s, the revocation list of %q, ran out on %s, so this host cannot tell whether the peer's certificate was revoked", e.File, e.Issuer, stamp(e.NextUpdate))
}
