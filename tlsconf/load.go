package tlsconf

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Credentials are this host's certificates, keys and CAs at one moment. They never change: a
// reload makes new ones. All methods may be called from several goroutines.
type Credentials struct {
	Found    Found
	Leaf     *x509.Certificate   // what peers see when they connect here, or if they never do, what they see
	CAs      []*x509.Certificate // the CA file, in its order
	Warnings []Finding

	server []tls.Certificate
	client []tls.Certificate
	pool   *x509.CertPool // CAs
	crls   []crl
	files  map[*x509.Certificate]string // of server's and client's leaves; nil for those of a Workload API
	// domains are the CAs of each SPIFFE trust domain; nil unless the credentials come from a
	// Workload API.
	domains map[string]*x509.CertPool
}

// Leaves are this host's certificates, those that peers see when they connect here and those that
// they see when this host connects.
func (c *Credentials) Leaves() (server, client []*x509.Certificate) {
	for _, t := range c.server {
		server = append(server, t.Leaf)
	}
	for _, t := range c.client {
		client = append(client, t.Leaf)
	}
	return server, client
}

// Load reads the files and checks everything that would make a handshake fail:
// dates, that each key is its certificate's, that each certificate comes from the
// CA and may be used in its role, and that nobody else may read the keys.
//
// The error joins one *Finding for each thing that is wrong: file, what is wrong, how to mend it.
func Load(f Found) (*Credentials, error) { return loadAt(f, time.Now()) }

func loadAt(f Found, now time.Time) (*Credentials, error) {
	l := loader{now: now, creds: &Credentials{Found: f}}
	l.loadCAs(f.CA)
	if len(l.errs) == 0 {
		l.loadCRL(f.CRL)
		if f.Role != AsClient {
			l.creds.server = l.loadPairs(f.Server, x509.ExtKeyUsageServerAuth)
		}
		if f.Role != AsServer {
			l.creds.client = l.loadPairs(f.Client, x509.ExtKeyUsageClientAuth)
		}
	}
	if len(l.errs) > 0 {
		return nil, errors.Join(l.errs...)
	}
	c := l.creds
	if len(c.server) == 0 && f.Role != AsClient || len(c.client) == 0 && f.Role != AsServer {
		return nil, errors.New("there is no usable certificate for one of the roles, server and client")
	}
	c.Leaf = slices.Concat(c.server, c.client)[0].Leaf
	return c, nil
}

// loader collects what is wrong, so that all of it is told at once.
type loader struct {
	now   time.Time
	creds *Credentials
	errs  []error
	seen  map[Finding]bool
	lost  [][]byte // names, in DER, of CAs in the file that Go cannot take
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
	var lost []*Finding
	cas, err := readCertsBut(path, func(f *Finding, subject []byte) {
		lost, l.lost = append(lost, f), append(l.lost, subject)
	})
	if err != nil {
		l.add(err)
		return
	}
	for _, f := range lost {
		if len(cas) > 0 { // the others are good for their own
			f.Severity = Warning
			f.Problem += "; nobody can come in whom it has vouched for"
		}
		l.add(f)
	}
	pool := x509.NewCertPool()
	usable := 0
	var foreign []*Finding // CAs whose signatures Go can't check
	for i, ca := range cas {
		what := fmt.Sprintf("CA certificate %d, %q,", i+1, ca.Subject)
		if ca.Version < 3 {
			l.add(problem(path, "have the CA's certificate issued again, as of version 3 with basicConstraints", "certificate %d, %q, is of X.509 version %d, which has no way to say that it is a CA's", i+1, ca.Subject, ca.Version))
			continue
		}
		if !ca.BasicConstraintsValid || !ca.IsCA {
			l.add(problem(path, "put the CA's own certificate there, not a host's", "certificate %d, %q, is not a CA's (basicConstraints)", i+1, ca.Subject))
			continue
		}
		f := checkDates(path, what, ca, l.now)
		if outsideDates(ca, l.now) {
			// One CA of several that ran out is what a bundle looks like after a change of CAs.
			if len(cas) > 1 {
				f.Severity = Warning
				f.Problem += "; libvirtd does not start with such a one in its file"
				f.Remedy = "remove it from the file, or have it renewed"
			}
		} else if ca.PublicKeyAlgorithm == x509.UnknownPublicKeyAlgorithm {
			foreign = append(foreign, problem(path, "use a CA with an ECDSA, RSA or Ed25519 key", "%s is for %s; nobody can come in whom it has vouched for", what, foreignKey(ca)))
		} else {
			usable++
		}
		l.maybe(f)
		pool.AddCert(ca)
	}
	for _, f := range foreign {
		if usable > 0 { // they are good for their own
			f.Severity = Warning
		}
		l.add(f)
	}
	if usable == 0 && len(l.errs) == 0 {
		l.add(problem(path, "have the CA renewed and copy its certificate here", "holds no CA certificate that is valid now"))
	}
	l.creds.CAs, l.creds.pool = cas, pool
}

func (l *loader) loadPairs(pairs []Pair, role x509.ExtKeyUsage) []tls.Certificate {
	var out []tls.Certificate
	for _, p := range pairs {
		certs, certErr := readCerts(p.Cert)
		if certErr != nil {
			l.add(certErr)
		} else if certs[0].PublicKeyAlgorithm == x509.UnknownPublicKeyAlgorithm {
			f := problem(p.Cert, "use an ECDSA, RSA or Ed25519 key, beside this one if others need it", "it is for %s", foreignKey(certs[0]))
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
			// virt-pki-validate of libvirt 9.0 tells administrators to make the client's key
			// readable for all.
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
		l.maybe(checkChain(p.Cert, certs, l.creds.CAs, l.creds.pool, l.creds.Found.CA, role, l.now))
		if _, err := IdentityOf(leaf); err != nil {
			l.add(problem(p.Cert, "have the certificate issued again with the host's name alone", "%v", err))
		}
		t := tls.Certificate{PrivateKey: key, Leaf: leaf}
		for _, c := range certs {
			t.Certificate = append(t.Certificate, c.Raw)
		}
		if l.creds.files == nil {
			l.creds.files = make(map[*x509.Certificate]string)
		}
		l.creds.files[leaf] = p.Cert
		l.ownRevoked(p.Cert, t)
		out = append(out, t)
	}
	return out
}

// ownRevoked tells of a certificate of this host's that its own list has. That keeps nobody out
// here, so the set, its list included, is taken all the same.
func (l *loader) ownRevoked(file string, t tls.Certificate) {
	chain, err := l.creds.ownChain(t)
	if err != nil {
		return // told by checkChain
	}
	var revoked *RevokedError
	if !errors.As(l.creds.checkRevoked(chain, l.now), &revoked) {
		return
	}
	if f := problem(file, "have a new one issued", "%v: peers that know refuse this host", revoked); !slices.Contains(l.creds.Warnings, *f) {
		l.creds.Warnings = append(l.creds.Warnings, *f)
	}
}

// maybe adds a Finding if there is one.
func (l *loader) maybe(f *Finding) {
	if f != nil {
		l.add(f)
	}
}
