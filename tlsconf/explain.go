package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"syscall"
)

// Cause says why a handshake failed, for programs.
type Cause string

const (
	CauseNotTLS        Cause = "not-tls"        // the peer does not speak TLS
	CauseClosed        Cause = "closed"         // the peer hung up, without a word
	CauseTimeout       Cause = "timeout"        // the peer said nothing in time
	CauseWrongCA       Cause = "wrong-ca"       // the certificate comes from a CA that is not trusted
	CauseExpired       Cause = "expired"        // the certificate is out of date
	CauseNotYetValid   Cause = "not-yet-valid"  // the certificate starts in the future
	CauseRevoked       Cause = "revoked"        // the certificate is on the revocation list
	CauseStaleCRL      Cause = "stale-crl"      // the revocation list has run out
	CauseName          Cause = "name"           // the certificate is somebody else's
	CauseUsage         Cause = "usage"          // the certificate is not for this role
	CauseBadCert       Cause = "bad-cert"       // the certificate was refused, it is not known why
	CauseNoCertificate Cause = "no-certificate" // a certificate is needed and none was shown
	CauseVersion       Cause = "version"        // no TLS version in common
	CausePolicy        Cause = "policy"         // no cipher suite or group in common
	CauseProtocol      Cause = "protocol"       // no ALPN protocol in common
	CauseDenied        Cause = "denied"         // the certificate is good and not allowed
	CauseOther         Cause = "other"
)

// Causes lists them.
func Causes() []Cause {
	return []Cause{
		CauseNotTLS, CauseClosed, CauseTimeout, CauseWrongCA, CauseExpired, CauseNotYetValid, CauseRevoked, CauseStaleCRL, CauseName,
		CauseUsage, CauseBadCert, CauseNoCertificate, CauseVersion, CausePolicy, CauseProtocol, CauseDenied, CauseOther,
	}
}

// Side says who refused.
type Side string

const (
	Here  Side = "here"  // this host refused the peer
	There Side = "there" // the peer refused this host
)

// HandshakeError is a failed handshake in words. Its text says who refused whom, why, and what to
// do.
type HandshakeError struct {
	Peer   string
	Cause  Cause
	Side   Side
	What   string // for a person
	Remedy string // for a person; may be empty
	Err    error  // as crypto/tls has it
}

func (e *HandshakeError) Error() string {
	s := fmt.Sprintf("TLS with %s: %s", e.Peer, e.What)
	if e.Remedy != "" {
		s += "; " + e.Remedy
	}
	return s
}

func (e *HandshakeError) Unwrap() error { return e.Err }

// Explain turns the error of a handshake, or of the first read after it, into a
// *HandshakeError. In TLS 1.3 a client's handshake ends before the server has looked at the
// client's certificate, so there a refusal is the first read's error. It returns nil for nil, and
// a *HandshakeError as it is. peer is what the peer is called in the text.
func Explain(err error, peer string) error {
	if err == nil {
		return nil
	}
	var done *HandshakeError
	if errors.As(err, &done) {
		return err
	}
	e := &HandshakeError{Peer: peer, Cause: CauseOther, Side: Here, What: err.Error(), Err: err}
	for _, explain := range []func(*HandshakeError, error) bool{
		explainOwn, explainX509, explainAlert, explainRecord, explainText, explainNet,
	} {
		if explain(e, err) {
			break
		}
	}
	return e
}

// explainOwn knows the errors of this package.
func explainOwn(e *HandshakeError, err error) bool {
	var name *NameError
	var proto *ProtocolError
	var revoked *RevokedError
	var stale *StaleError
	var policy *PolicyError
	var names *namesError
	var unproved *UnprovedError
	switch {
	case errors.As(err, &names):
		e.Cause, e.What = CauseBadCert, "this host refused the peer: "+names.Error()
		e.Remedy = "have its certificate issued again with the host's names alone"
	case errors.As(err, &name):
		e.Cause, e.What = CauseName, name.Error()
		e.Remedy = "issue it a certificate with the expected name, or add one that it has to those that are expected of the peer"
	case errors.As(err, &proto):
		e.Cause, e.What = CauseProtocol, proto.Error()
		e.Remedy = "something else than sluice is on that port, libvirtd perhaps: check the port"
	case errors.As(err, &revoked):
		e.Cause, e.What = CauseRevoked, "this host refused the peer: "+revoked.Error()
		e.Remedy = "have a new certificate issued for it"
	case errors.As(err, &stale):
		e.Cause, e.What = CauseStaleCRL, "this host refused the peer: "+stale.Error()
		e.Remedy = "fetch the list from the CA again"
	case errors.As(err, &unproved):
		e.Cause, e.What = CauseStaleCRL, "this host refused the peer: "+unproved.Error()
		e.Remedy = "fetch the list from the CA again"
	case errors.As(err, &policy):
		e.Cause, e.What = CausePolicy, "this host refused the peer: "+policy.Error()
		e.Remedy = "compare the TLS priorities of both hosts"
	case errors.Is(err, errNotGated):
		e.What = err.Error()
	case errors.Is(err, errNoPeerCertificate):
		e.Cause, e.What, e.Remedy = CauseNoCertificate, err.Error(), "give it one"
	default:
		return false
	}
	return true
}

// explainX509 knows why crypto/x509 refuses a peer's certificate.
func explainX509(e *HandshakeError, err error) bool {
	leaf := "the peer's certificate"
	var chain *ChainError
	var verify *tls.CertificateVerificationError
	var cert *x509.Certificate
	switch {
	case errors.As(err, &chain):
		cert = chain.Leaf
	case errors.As(err, &verify) && len(verify.UnverifiedCertificates) > 0:
		cert = verify.UnverifiedCertificates[0]
	}
	if cert != nil {
		leaf = fmt.Sprintf("its certificate (%q, issued by %q)", Shown(cert.Subject), Shown(cert.Issuer))
	}
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case chain != nil && chain.fault != nil:
		e.Cause, e.Remedy = chain.fault.cause, chain.fault.remedy
		e.What = "this host refused the peer: " + leaf + " " + chain.fault.what
		if e.Remedy == "" {
			e.Remedy = "put the CA that issued it into this host's CA file, or have it issued by that CA"
		}
	case errors.As(err, &unknown):
		e.Cause = CauseWrongCA
		e.What = "this host refused the peer: " + leaf + " does not come from a CA that this host trusts"
		e.Remedy = "put the CA that issued it into this host's CA file, or have it issued by that CA"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		if invalid.Cert != nil && !invalid.Cert.Equal(cert) {
			leaf = fmt.Sprintf("%s is good, and that of a CA above it, %q,", leaf, Shown(invalid.Cert.Subject))
		}
		e.Cause = CauseExpired
		e.What = "this host refused the peer: " + leaf + " is out of date: " + invalid.Detail
		e.Remedy = "have it renewed, or set the clocks right"
		// crypto/x509 tells the two cases apart in its words alone.
		if strings.Contains(invalid.Detail, " is before ") {
			e.Cause = CauseNotYetValid
			e.Remedy = "set the clocks of both hosts right, or wait"
		}
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		e.Cause = CauseUsage
		e.What = "this host refused the peer: " + leaf + " is not for its role (extended key usage)"
		e.Remedy = "have it issued again with serverAuth and clientAuth"
	case chain != nil || verify != nil:
		e.Cause = CauseBadCert
		e.What = "this host refused the peer: " + leaf + ": " + errors.Unwrap(firstOf(chain, verify)).Error()
	default:
		return false
	}
	return true
}

func firstOf(chain *ChainError, verify *tls.CertificateVerificationError) error {
	if chain != nil {
		return chain
	}
	return verify
}

// alertNoRenegotiation is this host's own.
const alertNoRenegotiation = 100

// alertBadRecordMAC is this host's own, for what it cannot decrypt.
const alertBadRecordMAC = 20

// explainAlert knows the alerts that a peer sends.
func explainAlert(e *HandshakeError, err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) {
		return false
	}
	// crypto/tls's type of an alert is not exported: a uint8.
	v := reflect.ValueOf(op.Err)
	if op.Op == "local error" && v.Kind() == reflect.Uint8 && v.Uint() == alertBadRecordMAC {
		// A TLS 1.3 client that refuses the server's certificate has no keys to write with yet, if
		// it is OpenSSL's, and sends its alert in clear, where crypto/tls takes encrypted records
		// alone.
		e.Cause, e.Side = CauseBadCert, There
		e.What = fmt.Sprintf("what the peer sent could not be decrypted (%v): OpenSSL's clients refuse a server's certificate in this way", op.Err)
		e.Remedy = "the reason is in the peer's log: wrong CA, out of date, or another name than the peer expects"
		return true
	}
	if op.Op == "local error" && v.Kind() == reflect.Uint8 && v.Uint() == alertNoRenegotiation {
		e.What = "the peer wanted to negotiate the connection anew (TLS 1.2's renegotiation), which this host never does"
		e.Remedy = "switch that off in the peer's program, or have both use TLS 1.3, which has none"
		return true
	}
	if op.Op != "remote error" {
		return false
	}
	e.Side = There
	e.What = "the peer refused: " + op.Err.Error()
	if v.Kind() != reflect.Uint8 {
		return true
	}
	if a, ok := alerts[uint8(v.Uint())]; ok {
		e.Cause, e.Remedy = a.cause, a.remedy
		e.What = fmt.Sprintf("%s (%v)", a.what, op.Err)
	}
	return true
}

// explainRecord knows what else answers on a port.
func explainRecord(e *HandshakeError, err error) bool {
	var rec tls.RecordHeaderError
	if !errors.As(err, &rec) {
		return false
	}
	e.Cause = CauseNotTLS
	h := rec.RecordHeader
	e.What = fmt.Sprintf("the peer does not speak TLS: it began with the bytes %q", h[:])
	e.Remedy = "check the port"
	switch {
	case string(h[:4]) == "SSH-":
		e.What = "that port is an SSH server's"
	case string(h[:4]) == "HTTP", string(h[:4]) == "GET ", string(h[:4]) == "POST":
		e.What = "the peer speaks HTTP without TLS"
	case h[0] == 0 && h[1] == 0:
		e.What = "the peer speaks a protocol that begins with a length, as libvirt's does, without TLS"
		e.Remedy = "use the peer's TLS port (16514)"
	}
	return true
}

// explainText knows crypto/tls's other errors by their words, for want of types.
func explainText(e *HandshakeError, err error) bool {
	s := err.Error()
	for _, t := range texts {
		if i := strings.Index(s, t.text); i >= 0 {
			e.Cause, e.Remedy = t.cause, t.remedy
			e.What = fmt.Sprintf("%s (%s)", t.what, s[i:])
			return true
		}
	}
	return false
}

// explainNet knows the errors of the connection below.
func explainNet(e *HandshakeError, err error) bool {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		e.Cause, e.Side = CauseClosed, There
		e.What = fmt.Sprintf("the peer closed the connection during the handshake (%v)", err)
		e.Remedy = "the reason may be in its log; libvirtd and QEMU close like this on a certificate that they refuse and where no TLS version or cipher is in common, and so does a server that does not speak TLS"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		e.Cause = CauseTimeout
		e.What = "the peer took the connection and did not finish the handshake in time"
		e.Remedy = "it may be overloaded, or something that does not speak TLS may be on that port"
	default:
		return false
	}
	return true
}
