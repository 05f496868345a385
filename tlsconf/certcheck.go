package tlsconf

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

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
	expired := errors.As(err, &invalid) && invalid.Reason == x509.Expired
	switch {
	case err == nil, expired && outsideDates(leaf, now):
		return nil // the dates are told by checkDates
	case expired:
		return problem(file, "have that CA renewed, and copy its new certificate here in place of the old one",
			"the CA above it, %q, is out of date: %s", invalid.Cert.Subject, invalid.Detail)
	}
	return problem(file, "copy the CA that issued it to "+caFile+", and the CAs between, if any, after the certificate in its file",
		"does not come from a CA in %s: it was issued by %q (%v)", caFile, leaf.Issuer, err)
}
