package tlsconf

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/pki"
)

// ways are what can be done to the first block of a PEM file, and what comes of it here. GnuTLS, as
// libvirt uses it, reads what is "" and nothing else, except that it passes over a block that does
// not say what it is.
var ways = []struct {
	name   string
	change func(first, rest string) string
	want   string // "" is taken
	silent bool   // GnuTLS passes over the block
	lax    bool   // GnuTLS takes it
}{
	{name: "as it was", change: func(a, b string) string { return a + b }},
	{name: "byte order mark", change: func(a, b string) string { return "\ufeff" + a + b }},
	{name: "indented", change: func(a, b string) string {
		return "  " + strings.ReplaceAll(strings.TrimSpace(a), "\n", "\n\t ") + "\n" + b
	}},
	{name: "CR LF", change: func(a, b string) string { return strings.ReplaceAll(a, "\n", "\r\n") + b }},
	{name: "CR", change: func(a, b string) string { return strings.ReplaceAll(a, "\n", "\r") + b }},
	{name: "joined", change: func(a, b string) string { return strings.TrimSpace(a) + b }},
	{name: "joined by its dashes", change: func(a, b string) string { return strings.TrimSpace(a) + strings.TrimPrefix(b, "-----") }},
	{name: "comments", change: func(a, b string) string { return "# ---- Issuer: CN=x ----\n" + a + "\nSubject: CN=y\n======\n" + b }},
	{name: "no newline at the end", change: func(a, b string) string { return a + strings.TrimSpace(b) }},
	{name: "blanks at the ends of lines", change: func(a, b string) string { return strings.ReplaceAll(a, "\n", " \t\n") + b }},
	{name: "a byte that is not base64", change: func(a, b string) string { return inText(a, "!") + b }, want: "block 1 in it is damaged"},
	{name: "four bytes of base64 changed", change: func(a, b string) string { return inText(a, "AAAA") + b }, want: "1 in it"},
	{name: "a line lost", change: func(a, b string) string {
		l := strings.SplitAfter(a, "\n")
		return l[0] + l[1] + strings.Join(l[3:], "") + b
	}, want: "1 in it"},
	{name: "cut off", change: func(a, b string) string { return a[:len(a)/2] + "\n" + b }, want: "block 1 in it is damaged or cut off"},
	{name: "cut off in its beginning", change: func(a, b string) string { return "-----BEGIN X50\n" + b }, want: "block 1 in it is damaged or cut off", silent: true},
	{name: "without its end", change: func(a, b string) string { return a[:strings.Index(a, "-----END")] + b }, want: "block 1 in it is damaged or cut off", lax: true},
	{name: "with another's end", change: func(a, b string) string { return strings.Replace(a, "-----END ", "-----END NOT ", 1) + b }, want: "block 1 in it is damaged or cut off", lax: true},
	{name: "a dash lost", change: func(a, b string) string { return a[1:] + b }, want: "block 1 in it is damaged or cut off", silent: true},
	{name: "a space lost", change: func(a, b string) string { return strings.Replace(a, "BEGIN ", "BEGIN", 1) + b }, want: "block 1 in it is damaged or cut off", silent: true},
	{name: "without its beginning", change: func(a, b string) string { return a[strings.Index(a, "\n")+1:] + b }, want: "block 1 in it is damaged or cut off", silent: true},
	{name: "of an unknown kind", change: func(a, b string) string {
		return regexp.MustCompile("(BEGIN|END) [A-Z0-9 ]+").ReplaceAllString(a, "$1 CRT") + b
	}, want: `block 1 in it is of the kind "CRT"`, silent: true},
	{name: "empty", change: func(a, b string) string { l := strings.SplitAfter(a, "\n"); return l[0] + l[len(l)-2] + b }, want: "block 1 in it is damaged or cut off"},
	{name: "a header", change: func(a, b string) string { return strings.Replace(a, "\n", "\nProc-Type: 4\n\n", 1) + b }, want: "1 in it"},
}

// inText puts s in place of what is in the third line.
func inText(block, s string) string {
	l := strings.SplitAfter(block, "\n")
	l[2] = s + l[2][len(s):]
	return strings.Join(l, "")
}

// TestEveryBlockCounts damages the first of two blocks, the one that is needed, in each kind of
// file.
func TestEveryBlockCounts(t *testing.T) {
	s, other := newSite(t), newSite(t)
	good, bad := s.host("good"), s.host("bad")
	first := string(s.crl(pki.Revocation{Number: 1, Revoked: []*x509.Certificate{bad.Cert}}))
	second := string(other.crl(pki.Revocation{Number: 1}))
	sub, err := s.ca.Sub(pki.Authority{Name: "sub CA"})
	if err != nil {
		t.Fatal(err)
	}
	below, err := sub.Issue(pki.Host{Names: []string{"here"}})
	if err != nil {
		t.Fatal(err)
	}
	files := func() Files {
		f := s.files(below, s.ca)
		write(t, f.CA, append(s.ca.CertPEM(), other.ca.CertPEM()...), 0o644)
		return f
	}
	for _, tt := range ways {
		t.Run(tt.name, func(t *testing.T) {
			check := func(file string, f Files) *Credentials {
				t.Helper()
				found, err := Find(Search{Files: f})
				if err != nil {
					t.Fatal(err)
				}
				c, err := Load(found)
				var finding *Finding
				switch {
				case tt.want == "" && err != nil:
					t.Errorf("%s: %v", file, err)
				case tt.want != "" && (!errors.As(err, &finding) || finding.File != file || !strings.Contains(finding.Problem, tt.want) || finding.Remedy == ""):
					t.Errorf("%s: %v", file, err)
				}
				return c
			}
			f := withCRL(t, files(), []byte(tt.change(first, second)))
			if c := check(f.CRL, f); c != nil {
				for p, revoked := range map[*pki.Pair]bool{good: false, bad: true} {
					var re *RevokedError
					if err := c.checkRevoked([]*x509.Certificate{p.Cert, s.ca.Cert}, time.Now()); errors.As(err, &re) != revoked || err != nil && !revoked {
						t.Errorf("%s: %v", p.Cert.Subject, err)
					}
				}
			}
			gnutls(t, f.CRL, "--x509crlfile", tt.want, tt.silent, tt.lax)

			f = files()
			write(t, f.CA, []byte(tt.change(string(s.ca.CertPEM()), string(other.ca.CertPEM()))), 0o644)
			check(f.CA, f)
			gnutls(t, f.CA, "--x509cafile", tt.want, tt.silent, tt.lax)

			f = files()
			leaf, above, _ := bytes.Cut(below.CertPEM(), []byte("-----END CERTIFICATE-----\n"))
			write(t, f.Cert, []byte(tt.change(string(leaf)+"-----END CERTIFICATE-----\n", string(above))), 0o644)
			check(f.Cert, f)

			f = files()
			key, err := below.KeyPEM()
			if err != nil {
				t.Fatal(err)
			}
			params := "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
			write(t, f.Key, []byte(tt.change(string(key), params)), 0o600)
			switch tt.name {
			case "four bytes of base64 changed": // of the public key, which Go does not read there
			case "a line lost", "a header":
				if _, err := readKey(f.Key); err == nil {
					t.Error("the key is taken")
				}
			default:
				check(f.Key, f)
			}
		})
	}
}

// gnutls reads a file as libvirt has it read, and compares.
func gnutls(t *testing.T, file, option, want string, silent, lax bool) {
	t.Helper()
	needTool(t, "gnutls-serv")
	// It ends, for want of a certificate, after it has read the file.
	out, _ := exec.Command("gnutls-serv", "--port", "0", option, file, "--x509certfile", "/nonexistent", "--x509keyfile", "/nonexistent").CombinedOutput()
	lines := bufio.NewScanner(bytes.NewReader(out))
	said := ""
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "Processed") {
			said = lines.Text()
		}
	}
	takes := strings.HasPrefix(said, "Processed 2 ")
	one := strings.HasPrefix(said, "Processed 1 ")
	if wanted := want == "" || lax; takes != wanted || one && !silent {
		t.Errorf("GnuTLS, %s: %s", filepath.Base(file), out)
	}
}

// TestWhatAFileIs: files of other forms are told for what they are.
func TestWhatAFileIs(t *testing.T) {
	s := newSite(t)
	p := s.host("here")
	key, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		t.Fatal(err)
	}
	as := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	for i, tt := range []struct {
		file         func(Files) string
		data         []byte
		want, remedy string
	}{
		{caFile, as("TRUSTED CERTIFICATE", s.ca.Cert.Raw), `of the kind "TRUSTED CERTIFICATE"`, "openssl x509 -in"},
		{caFile, append(as("TRUSTED CERTIFICATE", s.ca.Cert.Raw), s.ca.CertPEM()...), `block 1 in it is of the kind "TRUSTED CERTIFICATE"`, "openssl x509 -in"},
		{caFile, as("PKCS7", s.ca.Cert.Raw), `of the kind "PKCS7"`, "openssl pkcs7 -print_certs"},
		{caFile, s.ca.Cert.Raw, "holds no certificate; it is in DER form", "openssl x509 -inform DER"},
		{certFile, p.Cert.Raw, "holds no certificate; it is in DER form", "openssl x509 -inform DER"},
		{keyFile, key, "holds no private key; it is in DER form", "openssl pkey -inform DER"},
		{keyFile, as("OPENSSH PRIVATE KEY", key), `of the kind "OPENSSH PRIVATE KEY"`, "ssh-keygen -p -m PKCS8"},
		{keyFile, []byte("ssh-ed25519 AAAA user@host\n"), "it is an SSH key", "BEGIN PRIVATE KEY"},
		{caFile, utf16le(s.ca.CertPEM()), "it is in UTF-16", "UTF-8"},
		{keyFile, as("ENCRYPTED PRIVATE KEY", key), "is encrypted", "openssl pkey"},
		{keyFile, []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"), "is encrypted", "openssl pkey"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			f := s.files(p, s.ca)
			write(t, tt.file(f), tt.data, 0o600)
			found, err := Find(Search{Files: f})
			if err != nil {
				t.Fatal(err)
			}
			_, err = Load(found)
			var finding *Finding
			if !errors.As(err, &finding) || finding.File != tt.file(f) || !strings.Contains(finding.Problem, tt.want) || !strings.Contains(finding.Remedy, tt.remedy) {
				t.Errorf("%v", err)
			}
		})
	}
}

func utf16le(b []byte) []byte {
	out := []byte{0xff, 0xfe}
	for _, c := range b {
		out = append(out, c, 0)
	}
	return out
}

// FuzzReadPEM: what a file holds never panics, and every beginning is a block or an error.
func FuzzReadPEM(f *testing.F) {
	for _, tt := range ways {
		f.Add([]byte(tt.change("-----BEGIN X509 CRL-----\nAAAA\nAAAA\nAAAA\nAAAA\n-----END X509 CRL-----\n", "-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n")))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		blocks, err := readPEM("file", data, crlKind)
		if err == nil && len(blocks) != bytes.Count(data, []byte("-----BEGIN ")) {
			t.Errorf("%d blocks of %q", len(blocks), data)
		}
		// What encoding/pem reads is read.
		if b, _ := pem.Decode(data); err == nil && b != nil && len(b.Bytes) > 0 && len(blocks) == 0 {
			t.Errorf("nothing of %q", data)
		}
	})
}
