package tlsconf

import (
	"errors"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/pki"
)

// TestExtendedMasterSecretCanBeDemanded: of TLS 1.2, by a priority string and by GnuTLS's system
// file, as the FIPS policy of Fedora and RHEL does, in either role.
func TestExtendedMasterSecretCanBeDemanded(t *testing.T) {
	for _, tool := range []string{"gnutls-serv", "gnutls-cli"} {
		needTool(t, tool)
	}
	const tls12 = "NORMAL:-VERS-ALL:+VERS-TLS1.2"
	sys, err := ParseSystem("system", []byte("[overrides]\ntls-session-hash = require\n"))
	if err != nil || len(sys.Warnings) > 0 {
		t.Fatal(err, sys.Warnings)
	}
	bySystem, err := ParsePriority(tls12, sys)
	if err != nil {
		t.Fatal(err)
	}
	lax, err := ParseSystem("system", []byte("[overrides]\ntls-session-hash = request\n"))
	if err != nil || len(lax.Warnings) > 0 {
		t.Fatal(err, lax.Warnings)
	}
	requested, err := ParsePriority(tls12, lax)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	here := s.creds(s.issue(pki.Host{Names: []string{"here"}, Algorithm: pki.RSA}))
	peer := s.files(s.host("there"), s.ca)
	for name, tt := range map[string]struct {
		policy *Policy
		theirs string
		ok     bool
	}{
		"demanded and there":         {policy(t, tls12+":%FORCE_SESSION_HASH"), tls12, true},
		"demanded and not there":     {policy(t, tls12+":%FORCE_SESSION_HASH"), tls12 + ":%NO_SESSION_HASH", false},
		"by the system, and there":   {bySystem, tls12, true},
		"by the system, not there":   {bySystem, tls12 + ":%NO_SESSION_HASH", false},
		"requested, and not there":   {requested, tls12 + ":%NO_SESSION_HASH", true},
		"not demanded and not there": {policy(t, tls12), tls12 + ":%NO_SESSION_HASH", true},
	} {
		t.Run(name, func(t *testing.T) {
			check := func(err error) {
				t.Helper()
				var pe *PolicyError
				if tt.ok && err != nil || !tt.ok && (!errors.As(err, &pe) || !strings.Contains(err.Error(), "without the extended master secret")) {
					t.Errorf("%v", err)
				}
			}
			addr := serve(t, func(port string) (string, *exec.Cmd) {
				return "Server listening", exec.Command("gnutls-serv", "--port", port, "--echo", "--require-client-cert", "--priority", tt.theirs, "--x509cafile", peer.CA, "--x509certfile", peer.Cert, "--x509keyfile", peer.Key)
			})
			raw, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			_, _, err = Connect(t.Context(), engine{}, raw, Client{Credentials: here, Policy: tt.policy, Expect: rules(t, "there")})
			check(err)

			ln := listen(t)
			_, port, _ := net.SplitHostPort(ln.Addr().String())
			c := exec.Command("gnutls-cli", "--port", port, "--priority", tt.theirs, "--verify-hostname", "here", "--x509cafile", peer.CA, "--x509certfile", peer.Cert, "--x509keyfile", peer.Key, "127.0.0.1")
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			defer c.Wait()
			defer c.Process.Kill()
			if raw, err = ln.Accept(); err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			_, _, err = Accept(t.Context(), engine{}, raw, Server{Credentials: here, Policy: tt.policy, Authorize: func(*Peer) error { return nil }})
			check(err)
		})
	}
}
