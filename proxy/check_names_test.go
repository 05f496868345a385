package proxy

import (
	"crypto/x509/pkix"
	"testing"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/tlsconf/layout"
)

// Certificates by which peers do not know this host are told before they say so:
// the one that it shows where it connects, as well, which libvirt's own recipe
// makes with a distinguished name alone.
func TestCheckHostByItsNames(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	issue := func(h pki.Host) *pki.Pair {
		t.Helper()
		p, err := ca.Issue(h)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	good := issue(pki.Host{Names: []string{"host-a"}})
	wildcard := issue(pki.Host{Names: []string{"*.example.org"}})
	recipe := issue(pki.Host{Subject: &pkix.Name{Country: []string{"GB"}, Organization: []string{"Site"}, CommonName: "client1"}})
	for _, c := range []struct {
		name           string
		server, client *pki.Pair
		words          []string // none: nothing is told
	}{
		{"good", good, good, nil},
		{"good, in two", good, issue(pki.Host{Names: []string{"host-a"}}), nil},
		{"a client's by libvirt's recipe", good, recipe, []string{"clientcert.pem: this host is called host-a", "DN:C=GB,O=Site,CN=client1", `names = ["host-a", "C=GB,O=Site,CN=client1"]`, `dns_name = "host-a"`}},
		{"a server's of another name", issue(pki.Host{Names: []string{"vm7"}}), good, []string{"servercert.pem: this host is called host-a", "DNS:vm7"}},
		{"a wildcard that covers it", wildcard, wildcard, []string{"by a wildcard", "which libvirt's clients take and sluices do not"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTestHost(t, "host-a")
			name := "host-a"
			if c.name == "a wildcard that covers it" {
				name = "host-a.example.org"
			}
			h.Trust(ca)
			h.Certify(ca, pki.Host{})
			cfg := h.Configure("", "[peers.host-b]\n")
			cfg.Name = name
			if _, err := pki.WriteLayout(h.Path("pki"), layout.Libvirt, pki.Set{CA: ca, Server: c.server, Client: c.client}); err != nil {
				t.Fatal(err)
			}
			cfg.Certificates = config.Certificates{Dir: h.Path("pki"), Layout: layout.Libvirt}
			r, err := Check(t.Context(), cfg, "test", &control.CheckRequest{})
			if err != nil {
				t.Fatal(err)
			}
			var found []control.Finding
			for _, f := range r.Findings {
				if f.Code == "own-name" {
					found = append(found, f)
				}
			}
			if c.words == nil {
				if len(found) > 0 {
					t.Errorf("%+v", found)
				}
				return
			}
			finds(t, found, control.ResultWarning, "certificates", "own-name", "", c.words...)
		})
	}
}
