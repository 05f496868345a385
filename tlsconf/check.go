package tlsconf

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"time"
)

// Limits of libvirt's, in src/rpc/virnettlscert.c.
const (
	libvirtMaxFile = 1 << 16 // bytes of a certificate file
	libvirtMaxCAs  = 16
)

var (
	oidKeyUsage    = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}
)

// Check is Load for a person: it tells everything that is wrong or may become so, what libvirtd and
// virt-pki-validate would find included, whether or not it would keep sluice from working.
func Check(f Found, o Others) []Finding { return checkAt(f, o, time.Now()) }

// Others are whom Check judges for.
type Others struct {
	Names   []string // that other hosts expect of this one; each must be in the certificates
	Libvirt string   // this host's libvirt's version, such as "9.0.0"; "" if it is not known
}

func checkAt(f Found, o Others, now time.Time) []Finding {
	c, err := loadAt(f, now)
	findings := findingsOf(err)
	if c != nil {
		findings = append(findings, c.Warnings...)
	}
	// What can be read is looked at, whether or not the set as a whole is good.
	add := func(x *Finding) {
		if x != nil && !slices.ContainsFunc(findings, func(have Finding) bool { return have.File == x.File && have.Problem == x.Problem }) {
			findings = append(findings, *x)
		}
	}
	if cas, err := readCerts(f.CA); err == nil {
		add(checkSize(f.CA))
		if len(cas) > libvirtMaxCAs {
			add(warning(f.CA, "remove those that are not needed", "it holds %d CAs, and libvirt reads %d at most", len(cas), libvirtMaxCAs))
		}
		for i, ca := range cas {
			if ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCertSign == 0 {
				add(byCriticality(ca, oidKeyUsage, f.CA, "have the CA's certificate issued again with the key usage keyCertSign",
					fmt.Sprintf("the key usage of CA certificate %d does not allow signing certificates", i+1)))
			}
		}
	}
	for _, role := range []struct {
		pairs []Pair
		usage x509.ExtKeyUsage
		name  string
	}{{f.Server, x509.ExtKeyUsageServerAuth, "serverAuth"}, {f.Client, x509.ExtKeyUsageClientAuth, "clientAuth"}} {
		for _, p := range role.pairs {
			certs, err := readCerts(p.Cert)
			if err != nil {
				continue
			}
			add(checkSize(p.Cert))
			add(checkOwner(p.Key))
			leaf := certs[0]
			if len(leaf.Subject.Names) == 0 {
				add(warning(p.Cert, "have it issued again with a subject, such as the host's name as CN", "its subject is empty: libvirt refuses it, for want of a distinguished name"))
			}
			add(checkEncipherment(p.Cert, leaf, o.Libvirt))
			if checkUsage(p.Cert, leaf, role.usage) != nil && !checkUsageAny(leaf) {
				add(byCriticality(leaf, oidExtKeyUsage, p.Cert, "have it issued again with "+role.name, "its extended key usage lacks "+role.name))
			}
			for _, name := range o.Names {
				add(checkHostName(p.Cert, leaf, name))
			}
		}
	}
	return findings
}

// findingsOf takes the joined error of Load apart.
func findingsOf(err error) []Finding {
	if err == nil {
		return nil
	}
	errs := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		errs = joined.Unwrap()
	}
	var out []Finding
	for _, err := range errs {
		var f *Finding
		if !errors.As(err, &f) {
			f = problem("", "", "%v", err)
		}
		out = append(out, *f)
	}
	return out
}

// byCriticality is how libvirt takes a usage that lacks something: it refuses the certificate if
// the extension is critical, and logs a warning otherwise.
func byCriticality(c *x509.Certificate, oid asn1.ObjectIdentifier, file, remedy, what string) *Finding {
	for _, e := range c.Extensions {
		if e.Id.Equal(oid) && e.Critical {
			return problem(file, remedy, "%s; the extension is critical, so libvirt refuses the certificate", what)
		}
	}
	return warning(file, remedy, "%s; the extension is not critical, so libvirt only logs it", what)
}

// checkEncipherment is about keyEncipherment. libvirt asked for it of every certificate, and newer
// releases except EC keys, for which RFC 8813 forbids it.
func checkEncipherment(file string, c *x509.Certificate, libvirt string) *Finding {
	if c.KeyUsage == 0 || c.KeyUsage&x509.KeyUsageKeyEncipherment != 0 {
		return nil
	}
	switch c.PublicKey.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		if f := byCriticality(c, oidKeyUsage, file, "", ""); f.Severity == Warning {
			return nil // as it should be
		}
		return warning(file, "leave it if this host's libvirt is new; else have it issued again with a key usage that is not critical",
			"its critical key usage lacks keyEncipherment, as RFC 8813 has it for EC keys; older releases of libvirt and QEMU refuse it")
	}
	const remedy = "have it issued again with the key usage keyEncipherment (encryption_key in certtool's template)"
	f := byCriticality(c, oidKeyUsage, file, remedy, "its key usage lacks keyEncipherment")
	switch {
	case f.Severity == Warning:
	case libvirt == "":
		f = warning(file, remedy, "its critical key usage lacks keyEncipherment: libvirt before 11.6 refuses it, here and on other hosts")
	case atLeast(libvirt, 11, 6):
		f = warning(file, "leave it if all hosts' libvirt is as new; else "+remedy, "its critical key usage lacks keyEncipherment: libvirt here (%s) takes it, and before 11.6 refuses it on other hosts", libvirt)
	default:
		f.Problem += fmt.Sprintf(" (%s; from 11.6 on it does not)", libvirt)
	}
	return f
}

// atLeast compares a version such as "11.6.0".
func atLeast(version string, major, minor int) bool {
	var a, b int
	fmt.Sscanf(version, "%d.%d", &a, &b)
	return a > major || a == major && b >= minor
}

// checkUsageAny is true if libvirt takes the extended key usage for "any": it lets any purpose that
// it does not know stand for both roles.
func checkUsageAny(c *x509.Certificate) bool { return len(c.UnknownExtKeyUsage) > 0 }

func checkSize(file string) *Finding {
	if st, err := os.Stat(file); err == nil && st.Size() > libvirtMaxFile {
		return warning(file, "remove what is not needed", "it has %d bytes, and libvirt reads %d at most", st.Size(), libvirtMaxFile)
	}
	return nil
}

// checkOwner wants a key to be root's or our own.
func checkOwner(file string) *Finding {
	st, err := os.Stat(file)
	if err != nil {
		return nil
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || sys.Uid == 0 || int(sys.Uid) == os.Geteuid() {
		return nil
	}
	return warning(file, "chown root "+file, "the private key belongs to user %d, who is neither root nor the user this runs as (%d)", sys.Uid, os.Geteuid())
}

// checkHostName looks for a name that other programs will dial, as they do: in the SAN, wildcards
// allowed.
func checkHostName(file string, c *x509.Certificate, name string) *Finding {
	if c.VerifyHostname(name) == nil {
		return nil
	}
	id, err := IdentityOf(c)
	if err != nil {
		return nil // told by Load
	}
	kind := "DNS name"
	if net.ParseIP(name) != nil {
		kind = "IP address"
	}
	return problem(file, "have it issued again with this name", "the %s %q is not among its subject alternative names; it holds %s", kind, name, id)
}
