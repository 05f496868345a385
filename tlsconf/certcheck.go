package tlsconf

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
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

// expiring warns of a certificate that ends soon.
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
	name := usageName(role)
	return problem(file, "have it issued again with "+name+", or keep a certificate for each role, as the folders of libvirt and QEMU do",
		"its extended key usage lacks %s; peers would refuse it", name)
}

// checkChain looks whether peers that trust the CA file would accept what is in the certificate
// file.
func checkChain(file string, certs, cas []*x509.Certificate, pool *x509.CertPool, caFile string, role x509.ExtKeyUsage, now time.Time) *Finding {
	leaf := certs[0]
	_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, Intermediates: poolOf(certs[1:]), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{role}})
	var invalid x509.CertificateInvalidError
	errors.As(err, &invalid)
	switch {
	case err == nil, invalid.Reason == x509.Expired && invalid.Cert != nil && outsideDates(leaf, now):
		return nil // the dates are told by checkDates
	case invalid.Reason == x509.Expired && invalid.Cert != nil:
		return problem(file, "have that CA renewed, and copy its new certificate here in place of the old one",
			"the CA above it, %q, is out of date: %s", invalid.Cert.Subject, invalid.Detail)
	case invalid.Reason == x509.IncompatibleUsage && checkUsage(file, leaf, role) != nil:
		return nil // told by that
	}
	why := diagnose(err, leaf, certs[1:], cas, role, now)
	if why == nil || why.remedy == "" {
		return problem(file, "copy the CA that issued it to "+caFile+", and the CAs between, if any, after the certificate in its file",
			"does not come from a CA in %s: it was issued by %q (%v)", caFile, leaf.Issuer, err)
	}
	return problem(file, why.remedy, "%s", strings.Replace(why.what, untrusted, "does not come from a CA in "+caFile, 1))
}
