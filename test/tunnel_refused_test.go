package test

import (
	"os"
	"strings"
	"testing"
)

// What keeps a source with TLS out has words of its own on both sides, the
// destination's socket gets not a byte, and the guest stays.
func TestQEMUSourceRefused(t *testing.T) {
	const none = "NORMAL"
	for _, c := range []struct {
		name           string
		allow, expects string // sluice's rule for the source; the name that the source expects
		source, server string // priorities
		creds          bool   // the source has a certificate
		inSluice, inVM string
	}{
		{"the client's name", "host-x", "host-b", none, none, true, "its name is not allowed: it has DNS:host-a", "TLS"},
		{"the server's name", "host-a", "host-x", none, none, true, "", "Certificate does not match the hostname host-x"},
		{"no policy in common", "host-a", "host-b", versions["TLS1.2"], versions["TLS1.3"], true, "no TLS version", "TLS handshake failed"},
		{"no cipher in common", "host-a", "host-b", "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+CHACHA20-POLY1305", "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-256-GCM", true, "no cipher suite", "TLS handshake failed"},
		{"no client's certificate", "host-a", "host-b", none, none, false, "the peer showed no certificate", "TLS"},
		{"no TLS", "host-a", "", none, none, false, "does not speak TLS", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t)
			clear := s.tap("unix", s.Path("clear.sock"), s.Path("nobody.sock"))
			p, at := s.Tunnel("host-b", "--listen", "tls:"+anyPort, "--allow", c.allow, "--priority", c.server, "--to", "unix:"+clear.at)
			wire := s.tap("tcp", anyPort, at)
			if !c.creds {
				for _, file := range []string{"client-cert.pem", "client-key.pem"} {
					if err := os.Remove(s.Path("host-a/" + file)); err != nil {
						t.Fatal(err)
					}
				}
			}
			a := s.machine("host-a.vm", true, s.creds("host-a", "client", c.source)...)
			if c.expects != "" {
				a.migrateTLS(c.expects)
			}
			a.migrate("tcp:" + wire.at)
			status, words := a.migrated()
			if status != "failed" || !strings.Contains(words, c.inVM) {
				t.Errorf("%s: %s", status, words)
			}
			p.Await("connection failed", c.inSluice, `"sent":0,"received":0`)
			clear.nothing(t, "the destination's socket")
			if c.expects != "" { // else it was QEMU that had no TLS
				wire.saw(t, "the way between hosts", false)
			}
			a.stays()
		})
	}
}

// What keeps sluice from a destination with TLS has its own words, and nothing of the guest leaves.
func TestQEMUDestinationRefused(t *testing.T) {
	for _, c := range []struct {
		name           string
		expects        string // the name that sluice expects
		as             string // whose certificates it shows
		client, server string // priorities
		inSluice       string
	}{
		{"the server's name", "host-x", "host-a", "NORMAL", "NORMAL", "it holds DNS:host-b"},
		{"another authority", "host-b", "other", "NORMAL", "NORMAL", "does not come from a CA that this host trusts"},
		{"no policy in common", "host-b", "host-a", versions["TLS1.2"], versions["TLS1.3"], "where no TLS version or cipher is in common"},
		{"no cipher in common", "host-b", "host-a", "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+CHACHA20-POLY1305", "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-256-GCM", "where no TLS version or cipher is in common"},
		{"no TLS there", "host-b", "host-a", "NORMAL", "", "closed the connection during the handshake"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t)
			s.Authority("other", "host-a")
			var to string
			if c.server != "" {
				_, to = s.incomingTLS(c.server)
			} else {
				to = s.incomingClear()
			}
			wire := s.tap("tcp", anyPort, to)
			p, out := s.Tunnel(c.as, "--listen", "unix:"+s.Path("out.sock"), "--to", "tls:"+wire.at, "--tls-name", c.expects, "--priority", c.client)
			a := s.machine("host-a.vm", true)
			a.migrate("unix:" + out)
			if status, words := a.migrated(); status != "failed" {
				t.Errorf("%s: %s", status, words)
			}
			p.Await("connection failed", c.inSluice, `"sent":0,"received":0`)
			wire.saw(t, "the way between hosts", false)
			a.stays()
		})
	}
}

// Without certificates there is no tunnel, and so no plaintext either; the words
// say where they were looked for.
func TestTunnelWithoutCertificates(t *testing.T) {
	s := newStand(t)
	empty := s.Path("strict.toml")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--to", "tcp:host-b:1", "--tls", "yes"},
		{"--to", "tcp:host-b:1"}, // the host's default
		{"--to", "tls:host-b:1"},
	} {
		for _, file := range []string{"ca-cert.pem", "server-cert.pem", "server-key.pem"} {
			broken := newStand(t)
			if err := os.Remove(broken.Path("host-a/" + file)); err != nil {
				t.Fatal(err)
			}
			in := s.Path("in.sock")
			p := s.Start(s.Sluice, append(append([]string{"tunnel", "--config", empty, "--listen", "unix:" + in}, broken.As("host-a")...), args...)...)
			if err := p.Wait(); err == nil || p.ProcessState.ExitCode() != 2 {
				t.Errorf("%v ends with %v", args, err)
			}
			for _, want := range []string{"there are no certificates for it", broken.Path("host-a/" + file)} {
				if !strings.Contains(p.Text(), want) {
					t.Errorf("%v without %s: %s", args, file, p.Text())
				}
			}
			if _, err := os.Stat(in); err == nil {
				t.Errorf("%v: it listens", args)
			}
		}
	}
}
