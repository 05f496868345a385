package tlsconf

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
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
	return fmt.Sprintf("the peer's certificate is not the expected peer's: it holds %s; expected %s", e.Got, e.Expected)
}

func (e *NameError) Unwrap() error { return e.Err }

// ChainError is a peer whose certificate this host's CA does not vouch for, or not now.
type ChainError struct {
	Leaf *x509.Certificate // nil if the peer sent none
	Err  error             // of crypto/x509, mostly
}

func (e *ChainError) Error() string {
	if e.Leaf == nil {
		return e.Err.Error()
	}
	return fmt.Sprintf("the peer's certificate (%q, issued by %q) was refused: %v", e.Leaf.Subject, e.Leaf.Issuer, e.Err)
}

func (e *ChainError) Unwrap() error { return e.Err }

// ProtocolError is a peer that does TLS and does not choose any of the protocols offered.
type ProtocolError struct{ Offered []string }

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("the peer chose none of the protocols offered (%s)", strings.Join(e.Offered, ", "))
}
