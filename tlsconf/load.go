package tlsconf

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// Credentials are this host's certificates, keys and CAs at one moment. They never change: a
// reload makes new ones. All methods may be called from several goroutines.
type Credentials struct {
	Found      Found
	Leaf       *x509.Certificate   // what peers see when they connect here
	ClientLeaf *x509.Certificate   // what peers see when this host connects to them; often Leaf
	Chain      []*x509.Certificate // the CAs that Leaf's file has after it
	CAs        []*x509.Certificate // the CA file, in its order
	Pool       *x509.CertPool      // the same
	Warnings   []Finding

	server []tls.Certificate
	client []tls.Certificate
	pool   *x509.CertPool
	crls   []crl
	// domains are the CAs of each SPIFFE trust domain; nil unless the credentials come from a Workload API.
	domains map[string]*x509.CertPool
}

// Load reads the files and checks everything that would make a handshake fail:
// dates, that each key is its certificate's, that each certificate comes from the
// CA and may be used in its role, and that nobody else may read the keys.
//
// The error joins one *Finding for each thing that is wrong: file, what is wrong,
// how to mend it.
func Load(f Found) (*Credentials, error) { return loadAt(f, time.Now()) }

func loadAt(f Found, now time.Time) (*Credentials, error) {
	l := loader{now: now, creds: &Credentials{Found: f}}
	l.loadCAs(f.CA)
	if len(l.errs) == 0 {
		l.loadCRL(f.CRL)
		l.creds.server = l.loadPairs(f.Server, x509.ExtKeyUsageServerAuth)
		l.creds.client = l.loadPairs(f.Client, x509.ExtKeyUsageClientAuth)
	}
	if len(l.errs) > 0 {
		return nil, errors.Join(l.errs...)
	}
	c := l.creds
	if len(c.server) == 0 || len(c.client) == 0 {
		return nil, errors.New("there is no usable certificate for one of the roles, server and client")
	}
	c.Leaf, c.ClientLeaf = c.server[0].Leaf, c.client[0].Leaf
	for _, der := range c.server[0].Certificate[1:] {
		ca, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		c.Chain = append(c.Chain, ca)
	}
	return c, nil
}

// loader collects what is wrong, so that all of it is told at once.
type loader struct {
	now   time.Time
	creds *Credentials
	errs  []error
	seen  map[Finding]bool
}

func (l *loader) add(err error) {
	var f *Finding
	if !errors.As(err, &f) {
		l.errs = append(l.errs, err)
		return
	}
	// The same file in both roles is told once.
	if l.seen[*f] {
		return
	}
	if l.seen == nil {
		l.seen = make(map[Finding]bool)
	}
	l.seen[*f] = true
	if f.Severity == Error {
		l.errs = append(l.errs, f)
		return
	}
	l.creds.Warnings = append(l.creds.Warnings, *f)
}

func (l *loader) loadCAs(path string) {
	cas, err := readCerts(path)
	if err != nil {
		l.add(err)
		return
	}
	pool := x509.NewCertPool()
	usable := 0
	for i, ca := range cas {
		what := fmt.Sprintf("CA certificate %d, %q,", i+1, ca.Subject)
		if !ca.BasicConstraintsValid || !ca.IsCA {
			l.add(problem(path, "put the CA's own certificate there, not a host's", "certificate %d, %q, is not a CA's (basicConstraints)", i+1, ca.Subject))
			continue
		}
		f := checkDates(path, what, ca, l.now)
		if outsideDates(ca, l.now) {
			// One CA of several that ran out is what a bundle looks like after a change of CAs.
			if len(cas) > 1 {
				f.Severity = Warning
			}
		} else {
			usable++
		}
		l.maybe(f)
		pool.AddCert(ca)
	}
	if usable == 0 && len(l.errs) == 0 {
		l.add(problem(path, "have the CA renewed and copy its certificate here", "holds no CA certificate that is valid now"))
	}
	l.creds.CAs, l.creds.Pool, l.creds.pool = cas, pool, pool.Clone()
}

func (l *loader) loadPairs(pairs []Pair, role x509.ExtKeyUsage) []tls.Certificate {
	var out []tls.Certificate
	for _, p := range pairs {
		certs, certErr := readCerts(p.Cert)
		if certErr != nil {
			l.add(certErr)
		} else if certs[0].PublicKeyAlgorithm == x509.UnknownPublicKeyAlgorithm {
			f := problem(p.Cert, "use an ECDSA, RSA or Ed25519 key, beside this one if others need it", "its key is of a kind that Go does not know (ML-DSA, perhaps)")
			// libvirt has such certificates beside usual ones.
			if len(pairs) > 1 {
				f.Severity = Warning
			}
			l.add(f)
			continue
		}
		key, keyErr := readKey(p.Key)
		if keyErr != nil {
			l.add(keyErr)
		} else {
			f := checkKeyFile(p.Key)
			// virt-pki-validate of libvirt 9.0 tells administrators to make the client's key readable for all.
			if f != nil && role == x509.ExtKeyUsageClientAuth && !slices.Contains(l.creds.Found.Server, p) {
				f.Severity = Warning
			}
			l.maybe(f)
		}
		if certErr != nil || keyErr != nil {
			continue
		}
		leaf := certs[0]
		if f := checkDates(p.Cert, "the certificate", leaf, l.now); f != nil {
			l.add(f)
		}
		if pub, err := x509.MarshalPKIXPublicKey(key.Public()); err != nil || !bytes.Equal(pub, leaf.RawSubjectPublicKeyInfo) {
			l.add(problem(p.Key, "put the key there that the certificate was made for, or have a certificate issued for this one",
				"is not the key of the certificate in %s", p.Cert))
		}
		if leaf.IsCA {
			l.add(problem(p.Cert, "have a certificate issued for this host", "is a CA's certificate (basicConstraints); libvirt and QEMU refuse it too"))
		}
		l.maybe(checkUsage(p.Cert, leaf, role))
		l.maybe(checkChain(p.Cert, certs, l.creds.pool, l.creds.Found.CA, l.now))
		if _, err := IdentityOf(leaf); err != nil {
			l.add(problem(p.Cert, "have the certificate issued again with the host's name alone", "%v", err))
		}
		t := tls.Certificate{PrivateKey: key, Leaf: leaf}
		for _, c := range certs {
			t.Certificate = append(t.Certificate, c.Raw)
		}
		out = append(out, t)
	}
	return out
}

// maybe adds a Finding if there is one.
func (l *loader) maybe(f *Finding) {
	if f != nil {
		l.add(f)
	}
}

// outsideDates is true if now is not within the certificate's dates.
func outsideDates(c *x509.Certificate, now time.Time) bool {
	return now.Before(c.NotBefore) || now.After(c.NotAfter)
}

func checkDates(file, what string, c *x509.Certificate, now time.Time) *Finding {
	switch {
	case now.Before(c.NotBefore):
		return problem(file, "set this host's clock right, or wait", "%s is not valid before %s, and this host's clock says %s", what, stamp(c.NotBefore), stamp(now))
	case now.After(c.NotAfter):
		return problem(file, "have it renewed and copy the new one here", "%s expired on %s, and this host's clock says %s", what, stamp(c.NotAfter), stamp(now))
	}
	return expiring(file, what, c, now)
}

// expiring warns when a fifth of a certificate's life is left.
func expiring(file, what string, c *x509.Certificate, now time.Time) *Finding {
	if !nearEnd(c, now) {
		return nil
	}
	return warning(file, "have it renewed and copy the new one here", "%s expires on %s, in %s", what, stamp(c.NotAfter), days(c.NotAfter.Sub(now)))
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func days(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	}
	return fmt.Sprintf("%d minutes", d/time.Minute)
}

// checkKeyFile looks at who may read or change a key.
func checkKeyFile(path string) *Finding {
	st, err := os.Stat(path)
	if err != nil {
		return openProblem(path, err)
	}
	mode := st.Mode().Perm()
	switch {
	case mode&0o007 != 0:
		return problem(path, "chmod 0600 "+path, "the private key's mode is %04o: every user of this host may use it", mode)
	case mode&fs.FileMode(0o020) != 0:
		return problem(path, "chmod g-w "+path, "the private key's mode is %04o: its group may replace it", mode)
	case mode&0o040 != 0:
		return warning(path, "chmod 0600 "+path+", unless the group is there for that", "the private key's mode is %04o: its group may read it", mode)
	}
	return nil
}

// checkUsage looks whether the certificate may be used in a role. No extended key usage at all
// means any (RFC 5280, section 4.2.1.12).
func checkUsage(file string, c *x509.Certificate, role x509.ExtKeyUsage) *Finding {
	if c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return problem(file, "have it issued again with the key usage digitalSignature", "its key usage does not allow signing, which every handshake needs")
	}
	if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 {
		return nil
	}
	for _, u := range c.ExtKeyUsage {
		if u == role || u == x509.ExtKeyUsageAny {
			return nil
		}
	}
	name := "serverAuth (TLS web server)"
	if role == x509.ExtKeyUsageClientAuth {
		name = "clientAuth (TLS web client)"
	}
	return problem(file, "have it issued again with "+name+", or name another certificate for this role",
		"its extended key usage lacks %s; peers would refuse it", name)
}

// checkChain looks whether peers that trust the CA file would accept what is in the certificate file.
func checkChain(file string, certs []*x509.Certificate, pool *x509.CertPool, caFile string, now time.Time) *Finding {
	leaf := certs[0]
	between := x509.NewCertPool()
	for _, c := range certs[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: pool, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	var invalid x509.CertificateInvalidError
	if err == nil || outsideDates(leaf, now) && errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return nil // the dates are told by checkDates
	}
	return problem(file, "copy the CA that issued it to "+caFile+", and the CAs between, if any, after the certificate in its file",
		"does not come from a CA in %s: it was issued by %q (%v)", caFile, leaf.Issuer, err)
}
