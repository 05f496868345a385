package proxy

import (
	"context"
	"crypto/tls"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/pki"
)

// Both sides' policies hold, in TLS 1.3 too, whoever would choose otherwise.
func TestPolicies(t *testing.T) {
	const only256 = "NORMAL:-AES-128-GCM:-CHACHA20-POLY1305"
	rsa := [2]pki.Algorithm{pki.RSA, pki.RSA}
	for _, c := range []struct {
		name           string
		a, b           string // hosts' priorities
		atA            string // of the peer host-b at host-a
		version, suite uint16
		keys           [2]pki.Algorithm // of host-a and host-b; ECDSA by default
		words          []string         // at a, if refused
	}{
		{name: "defaults", version: tls.VersionTLS13},
		{name: "caller's", a: only256, version: tls.VersionTLS13, suite: tls.TLS_AES_256_GCM_SHA384},
		{name: "listener's", b: only256, version: tls.VersionTLS13, suite: tls.TLS_AES_256_GCM_SHA384},
		{name: "both's", a: "NORMAL:-AES-256-GCM", b: "NORMAL:-AES-128-GCM", version: tls.VersionTLS13, suite: tls.TLS_CHACHA20_POLY1305_SHA256},
		{name: "the peer's stricter one", atA: only256, version: tls.VersionTLS13, suite: tls.TLS_AES_256_GCM_SHA384},
		{name: "the peer's wider one", a: "NORMAL:-AES-128-GCM:-AES-256-GCM", atA: "NORMAL:-AES-128-GCM", b: only256, version: tls.VersionTLS13, suite: tls.TLS_AES_256_GCM_SHA384},
		{name: "TLS 1.2", a: "NORMAL:-VERS-ALL:+VERS-TLS1.2", version: tls.VersionTLS12},
		{name: "no suite in common", a: "NORMAL:-VERS-ALL:+VERS-TLS1.3:-AES-128-GCM:-CHACHA20-POLY1305", b: "NORMAL:-VERS-ALL:+VERS-TLS1.3:-AES-256-GCM",
			words: []string{"the peer found no version, cipher suite, group or signature algorithm in common", "this host allows TLS1.3 with TLS_AES_256_GCM_SHA384", "compare the TLS priorities of both hosts"}},
		{name: "no version in common", a: "NORMAL:-VERS-ALL:+VERS-TLS1.2", b: "NORMAL:-VERS-ALL:+VERS-TLS1.3",
			words: []string{"the peer speaks none of the TLS versions", "this host allows TLS1.2"}},
		{name: "signatures, both's", a: "SECURE256", b: "SECURE256", keys: rsa, version: tls.VersionTLS13},
		{name: "signatures, caller's", a: "SECURE256", keys: rsa, words: []string{"host-a: ", "the peer signed with PSSWithSHA256", `priority "SECURE256" does not allow`, "PSSWithSHA384"}},
		{name: "signatures, listener's", b: "SECURE256", keys: rsa, words: []string{"host-b: ", "the peer signed with PSSWithSHA256", `priority "SECURE256" does not allow`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ca := hosttest.NewAuthority(t, "CA")
			a, b := pairOfHosts(t, ca)
			a.Certify(ca, pki.Host{Algorithm: c.keys[0]})
			b.Certify(ca, pki.Host{Algorithm: c.keys[1]})
			set := func(priority string) string {
				if priority == "" {
					return ""
				}
				return "priority = '" + priority + "'"
			}
			b.start(set(c.b), hosttest.PeerA)
			a.start(set(c.a), peerTable(b, set(c.atA)))
			if c.words != nil {
				hosttest.Says(t, a.ask("host-b"), c.words...)
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			conn, err := a.now().Peers.Dial(ctx, a.now().Peers.All["host-b"], "")
			if err != nil {
				t.Fatal(err)
			}
			state, _ := conn.ConnectionState()
			conn.Close()
			if state.Version != c.version || c.suite != 0 && state.CipherSuite != c.suite {
				t.Errorf("came to %s with %s", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite))
			}
			// And bytes pass, whatever path that makes.
			echoes(t, a.echo("host-b"), "through")
		})
	}
}
