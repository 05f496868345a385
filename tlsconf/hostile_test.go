package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/pki"
)

// TestHostileServers shows this host, as a client, certificates that its CA has signed and no host
// needs.
func TestHostileServers(t *testing.T) {
	s := newSite(t)
	here := s.creds(s.host("here"))
	many := make([]string, 5000)
	for i := range many {
		many[i] = fmt.Sprintf("host-%d.example.org", i)
	}
	deep := s.ca
	for i := range maxPeerChain {
		var err error
		if deep, err = deep.Sub(pki.Authority{Name: fmt.Sprintf("CA %d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	deepLeaf, err := deep.Issue(pki.Host{Names: []string{"b"}})
	if err != nil {
		t.Fatal(err)
	}
	longURI := "spiffe://site/" + strings.Repeat("a", maxURILen)
	for _, tt := range []struct {
		name string
		peer *pki.Pair
		want string
	}{
		{"5000 names", s.issue(pki.Host{Names: many}), "5000 names, more than the 256 allowed"},
		{"NUL in a name", s.issue(pki.Host{Names: []string{"b\x00.evil.example.org", "b"}}), "byte 0x00 is not allowed"},
		{"space in a name", s.issue(pki.Host{Names: []string{"b evil", "b"}}), "byte 0x20 is not allowed"},
		{"long name", s.issue(pki.Host{Names: []string{strings.Repeat("a.", 200), "b"}}), "400 bytes"},
		{"long URI", s.issue(pki.Host{Names: []string{"b"}, URIs: []string{longURI}}), "more than the 2048 allowed"},
		{"long DN", s.issue(pki.Host{Names: []string{"b"}, RawSubject: marshalName(t, one(raw(oidCN, utf8Tag, strings.Repeat("a", maxDNLen+1))))}), "longer than the 4096 bytes"},
		{"NUL in the DN", s.issue(pki.Host{Names: []string{"b"}, RawSubject: marshalName(t, one(raw(oidCN, utf8Tag, "b\x00evil")))}), "control character 0x00 in CN"},
		{"deep chain", deepLeaf, "more than 10 certificates"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := &tls.Config{Certificates: []tls.Certificate{tt.peer.TLS()}}
			_, err, _ := shake(t, here.clientConfig(rules(t, "*", "*=*", "*://*"), settings{}), server)
			var he *HandshakeError
			if err = Explain(err, "b"); !errors.As(err, &he) || he.Side != Here || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %q", err, tt.want)
			}
		})
	}
	// As a server it takes the chain's word and leaves the names to IdentityOf, which says the
	// same.
	if _, err := IdentityOf(s.issue(pki.Host{Names: many}).Cert); err == nil {
		t.Error("IdentityOf takes 5000 names")
	}
	// InsecureSkipVerify: it is the server that is tested.
	_, _, err = shake(t, &tls.Config{Certificates: []tls.Certificate{deepLeaf.TLS()}, InsecureSkipVerify: true}, here.serverConfig(settings{}))
	if err == nil || !strings.Contains(err.Error(), "more than 10 certificates") {
		t.Errorf("a deep chain of a client: %v", err)
	}
}

func TestIdentityOf(t *testing.T) {
	s := newSite(t)
	id, err := IdentityOf(s.issue(pki.Host{Names: []string{"Host-A.Example.org."}, URIs: []string{"spiffe://site/a"}}).Cert)
	if err != nil || len(id.DNS) != 1 || id.DNS[0] != "host-a.example.org" || id.URI[0] != "spiffe://site/a" {
		t.Errorf("%v, %v", id, err)
	}
	if got := id.String(); got != "DNS:host-a.example.org, URI:spiffe://site/a, DN:O=test CA,CN=Host-A.Example.org." {
		t.Errorf("printed as %s", got)
	}
	many := Identity{DNS: slices.Repeat([]string{strings.Repeat("a", 100)}, 256), DN: "CN=a"}
	if got := many.String(); len(got) > 2000 || !strings.Contains(got, "and 246 more, DN:CN=a") {
		t.Errorf("256 names printed as %s", got)
	}
	if (Identity{}).String() != "no name at all" {
		t.Error("no name is not told")
	}
	if _, err := IdentityOf(nil); err == nil {
		t.Error("no certificate is one")
	}
	// A URI that does not print as it was in the certificate is not compared by its print.
	c := &x509.Certificate{URIs: []*url.URL{{Scheme: "spiffe", Host: "site", Path: "/a b"}}, RawSubject: []byte{0x30, 0}}
	if id, err := IdentityOf(c); err != nil || strings.Contains(id.URI[0], " ") {
		t.Errorf("%v, %v", id, err)
	}
}
