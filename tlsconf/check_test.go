package tlsconf

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"os"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/pki"
)

// usage is an extension of a key usage or an extended one, critical or not.
func usage(t *testing.T, oid asn1.ObjectIdentifier, critical bool, value any) pkix.Extension {
	t.Helper()
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: oid, Critical: critical, Value: der}
}

func TestCheckSeesWhatLibvirtSees(t *testing.T) {
	s := newSite(t)
	signing := asn1.BitString{Bytes: []byte{0x80}, BitLength: 1}
	client := []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 2}}
	tests := []struct {
		name     string
		host     pki.Host
		mend     func(f Files)
		severity Severity // "" for nothing
		want     string
	}{
		{name: "good", host: pki.Host{}},
		{name: "good, RSA", host: pki.Host{Algorithm: pki.RSA}},
		{name: "RSA without keyEncipherment, critical", host: pki.Host{Algorithm: pki.RSA, KeyUsage: x509.KeyUsageDigitalSignature}, severity: Error, want: "is critical, so libvirt refuses"},
		{name: "RSA without keyEncipherment", host: pki.Host{Algorithm: pki.RSA, Extra: []pkix.Extension{usage(t, oidKeyUsage, false, signing)}}, severity: Warning, want: "only logs it"},
		{name: "EC without keyEncipherment, critical", host: pki.Host{KeyUsage: x509.KeyUsageDigitalSignature}, severity: Warning, want: "RFC 8813"},
		{name: "client only, critical", host: pki.Host{Extra: []pkix.Extension{usage(t, oidExtKeyUsage, true, client)}}, severity: Error, want: "lacks serverAuth; the extension is critical"},
		{name: "client only", host: pki.Host{Usages: clientOnly}, severity: Warning, want: "lacks serverAuth; the extension is not critical"},
		{name: "another name", host: pki.Host{Names: []string{"b.example.org"}}, severity: Error, want: `"a.example.org" is not among its subject alternative names; it holds DNS:b.example.org`},
		{name: "wildcard", host: pki.Host{Names: []string{"*.example.org"}}},
		{name: "many CAs", mend: func(f Files) {
			write(t, f.CA, []byte(strings.Repeat(string(s.ca.CertPEM()), libvirtMaxCAs+1)), 0o644)
		}, severity: Warning, want: "17 CAs"},
		{name: "large", mend: func(f Files) {
			write(t, f.CA, append(s.ca.CertPEM(), make([]byte, libvirtMaxFile)...), 0o644)
		}, severity: Warning, want: "65536 at most"},
		{name: "group reads the key", mend: func(f Files) { chmod(t, f.Key, 0o640) }, severity: Warning, want: "its group may read it"},
		{name: "no CA file", mend: func(f Files) { remove(t, f.CA) }, severity: Error, want: "no such file"},
		{name: "expired", host: pki.Host{NotBefore: longAgo, NotAfter: yesterday}, severity: Error, want: "expired on"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := tt.host
			if h.Names == nil {
				h.Names = []string{"a.example.org"}
			}
			f := s.files(s.issue(h), s.ca)
			if tt.mend != nil {
				tt.mend(f)
			}
			found, err := Find(Search{Files: f})
			if err != nil {
				t.Fatal(err)
			}
			findings := Check(found, Others{Names: []string{"a.example.org"}, Libvirt: "9.0.0"})
			if tt.severity == "" {
				if len(findings) > 0 {
					t.Errorf("%+v", findings)
				}
				return
			}
			for _, x := range findings {
				if x.Severity == tt.severity && strings.Contains(x.Problem, tt.want) && x.Remedy != "" && x.File != "" {
					return
				}
			}
			t.Errorf("want %s %q, got %+v", tt.severity, tt.want, findings)
		})
	}
}

func TestCheckOwner(t *testing.T) {
	needs.Root(t, "to give files away")
	s := newSite(t)
	f := s.files(s.host("a"), s.ca)
	if err := os.Chown(f.Key, 12345, 0); err != nil {
		t.Fatal(err)
	}
	if x := checkOwner(f.Key); x == nil || !strings.Contains(x.Problem, "user 12345") {
		t.Errorf("%v", x)
	}
}

// TestKeyEnciphermentByLibvirt: libvirt refuses RSA certificates without it before 11.6, and takes
// them from then on.
func TestKeyEnciphermentByLibvirt(t *testing.T) {
	s := newSite(t)
	f := s.files(s.issue(pki.Host{Names: []string{"a"}, Algorithm: pki.RSA, KeyUsage: x509.KeyUsageDigitalSignature}), s.ca)
	found, err := Find(Search{Files: f})
	if err != nil {
		t.Fatal(err)
	}
	for libvirt, want := range map[string]struct {
		severity Severity
		words    string
	}{
		"9.0.0":  {Error, "so libvirt refuses the certificate (9.0.0; from 11.6 on it does not)"},
		"11.5.0": {Error, "so libvirt refuses"},
		"11.6.0": {Warning, "libvirt here (11.6.0) takes it, and before 11.6 refuses it on other hosts"},
		"12.8.0": {Warning, "takes it"},
		"":       {Warning, "libvirt before 11.6 refuses it, here and on other hosts"},
	} {
		got := Check(found, Others{Libvirt: libvirt})
		if len(got) != 1 || got[0].Severity != want.severity || !strings.Contains(got[0].Problem, want.words) || got[0].Remedy == "" {
			t.Errorf("%q: %+v", libvirt, got)
		}
	}
}
