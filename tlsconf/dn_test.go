package tlsconf

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/pki"
)

// raw is an attribute with its value as DER, for encodings that crypto/x509 does not make.
func raw(oid asn1.ObjectIdentifier, tag int, value string) pkix.AttributeTypeAndValue {
	return pkix.AttributeTypeAndValue{Type: oid, Value: asn1.RawValue{Tag: tag, Bytes: []byte(value)}}
}

var (
	oidCN    = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidC     = asn1.ObjectIdentifier{2, 5, 4, 6}
	oidO     = asn1.ObjectIdentifier{2, 5, 4, 10}
	oidEmail = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
	oidDC    = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}
	oidOwn   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}
)

const utf8Tag, printable, ia5, t61, bmp = asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagT61String, asn1.TagBMPString

// names are RDNs, and what libvirt prints; the last column is held against virt-pki-query-dn.
var names = []struct {
	name string
	rdns [][]pkix.AttributeTypeAndValue
	want string
}{
	{"libvirt's example", one(raw(oidC, printable, "GB"), raw(oidO, utf8Tag, "Red, Hat"), raw(oidCN, utf8Tag, "cli")), `C=GB,O=Red\, Hat,CN=cli`},
	{"escapes", one(raw(oidCN, utf8Tag, `a+b"c\d<e>f;g=h#i`)), `CN=a\+b\"c\\d\<e\>f\;g=h#i`},
	{"edges", one(raw(oidO, utf8Tag, " a b "), raw(oidCN, utf8Tag, "#c"), raw(oidCN, utf8Tag, " ")), `O=\ a b\ ,CN=\#c,CN=\ `},
	{"two in one", [][]pkix.AttributeTypeAndValue{{raw(oidC, printable, "GB")}, {raw(oidCN, utf8Tag, "a"), raw(oidO, utf8Tag, "b")}, {raw(oidCN, utf8Tag, "z")}}, `C=GB,CN=a+O=b,CN=z`},
	{"unicode", one(raw(oidCN, utf8Tag, "hôte-ü-日本")), "CN=hôte-ü-日本"},
	{"email and DC", one(raw(oidDC, ia5, "org"), raw(oidDC, ia5, "example"), raw(oidEmail, ia5, "a@b")), "DC=org,DC=example,EMAIL=a@b"},
	{"own type", one(raw(oidOwn, utf8Tag, "x"), raw(oidCN, utf8Tag, "a")), "1.3.6.1.4.1.99999.1=#0c0178,CN=a"},
	{"country as UTF-8", one(raw(oidC, utf8Tag, "GB"), raw(oidCN, utf8Tag, "a")), "C=#0c024742,CN=a"},
	{"BMP string", one(raw(oidCN, bmp, "\x00h\x00\xf6")), "CN=hö"},
	{"Teletex, ASCII", one(raw(oidCN, t61, "host")), "CN=host"},
	{"Teletex, not ASCII", one(raw(oidCN, t61, "h\xf6")), `CN=\#68f6`},
	{"an integer", one(pkix.AttributeTypeAndValue{Type: oidCN, Value: 7}), "CN=#020107"},
}

// one makes each attribute an RDN of its own.
func one(attrs ...pkix.AttributeTypeAndValue) (rdns [][]pkix.AttributeTypeAndValue) {
	for _, a := range attrs {
		rdns = append(rdns, []pkix.AttributeTypeAndValue{a})
	}
	return rdns
}

func marshalName(t testing.TB, rdns [][]pkix.AttributeTypeAndValue) []byte {
	t.Helper()
	var seq pkix.RDNSequence
	for _, r := range rdns {
		seq = append(seq, pkix.RelativeDistinguishedNameSET(r))
	}
	der, err := asn1.Marshal(seq)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestDNIsPrintedAsLibvirtPrintsIt(t *testing.T) {
	for _, tt := range names {
		t.Run(tt.name, func(t *testing.T) {
			got, err := formatDN(marshalName(t, tt.rdns))
			if err != nil || got != tt.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

// TestDNAgainstLibvirt holds the table above against libvirt's own tool.
func TestDNAgainstLibvirt(t *testing.T) {
	needs.Program(t, "virt-pki-query-dn")
	compared := 0
	s := newSite(t)
	for _, tt := range names {
		t.Run(tt.name, func(t *testing.T) {
			p, err := s.ca.Issue(pki.Host{Names: []string{"a"}, RawSubject: marshalName(t, tt.rdns)})
			if err != nil {
				t.Log("not compared, since crypto/x509 does not parse it: ", err)
				return
			}
			compared++
			path := filepath.Join(t.TempDir(), "cert.pem")
			write(t, path, p.CertPEM(), 0o644)
			out, err := exec.Command("virt-pki-query-dn", path).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			got := strings.TrimSuffix(string(out), "\n")
			if got != tt.want {
				t.Errorf("libvirt prints %q\nwant %q", out, tt.want)
			}
		})
	}
	if compared < len(names)-1 {
		t.Errorf("only %d of %d names were compared", compared, len(names))
	}
}

func TestDNRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		der  []byte
		want string
	}{
		{"NUL", marshalName(t, one(raw(oidCN, utf8Tag, "a\x00b"))), "control character 0x00"},
		{"NUL in a BMP string", marshalName(t, one(raw(oidCN, bmp, "\x00a\x00\x00"))), "control character 0x00"},
		{"newline", marshalName(t, one(raw(oidCN, utf8Tag, "a\nb"))), "control character 0x0a"},
		{"too long", marshalName(t, one(raw(oidCN, utf8Tag, strings.Repeat("a", maxDNLen)))), "longer"},
		{"too many parts", marshalName(t, one(slices.Repeat([]pkix.AttributeTypeAndValue{raw(oidCN, utf8Tag, "a")}, maxRDNs+1)...)), "65 parts"},
		{"no DER", []byte{1, 2, 3}, "asn1"},
		{"data after it", append(marshalName(t, names[0].rdns), 0), "after its end"},
	} {
		_, err := formatDN(tt.der)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s (%s): %v", tt.name, hex.EncodeToString(tt.der), err)
		}
	}
}
