package tlsconf

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/pki"
)

// interop is a policy of ours and a setting of the peer's with which the peer, left alone,
// would end outside of it.
type interop struct {
	priority string
	keys     pki.Algorithm // of the CA and both hosts
	gnutls   string        // the peer's priority, if it is GnuTLS
	openssl  []string      // the peer's options, if it is OpenSSL
}

// first lets an OpenSSL peer prefer what the policy leaves out.
func first(suites string, more ...string) []string {
	return append([]string{"-ciphersuites", suites}, more...)
}

const (
	any13 = "NORMAL:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:%SERVER_PRECEDENCE"
	o128  = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
	o256  = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
	oCC   = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"
)

var interops = []interop{
	{"NORMAL", pki.ECDSA, "NORMAL", first(o256)},
	{"NORMAL", pki.RSA, any13, first(o128)},
	// A peer with an RSA key that would sign with SHA-256 has to be told not to: TestFinish.
	{"SECURE256", pki.RSA, any13 + ":-SIGN-RSA-PSS-RSAE-SHA256:-SIGN-RSA-SHA256", first(o128, "-sigalgs", "RSA-PSS+SHA384", "-client_sigalgs", "RSA-PSS+SHA384")},
	{"SECURE256", pki.P384, "PERFORMANCE", first(o128, "-groups", "X25519:P-256:P-384")},
	{"SECURE128:-VERS-ALL:+VERS-TLS1.3", pki.RSA, any13, first(oCC)},
	{"PFS", pki.ECDSA, "PERFORMANCE", first(o128)},
	{"NORMAL:-AES-128-GCM", pki.ECDSA, any13, first(o128)},
	{"NORMAL:-AES-256-GCM:-AES-128-GCM", pki.ECDSA, any13, first(o128)},
	{"NORMAL:-CIPHER-ALL:+AES-128-GCM", pki.ECDSA, "NORMAL:%SERVER_PRECEDENCE", first(o256)},
	{"NORMAL:-GROUP-ALL:+GROUP-SECP521R1", pki.ECDSA, "NORMAL:-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP521R1", first(o256, "-groups", "X25519:P-256:P-521")},
	{"SECURE256:-GROUP-ALL:+GROUP-SECP384R1", pki.P384, any13 + ":-GROUP-ALL:+GROUP-SECP256R1:+GROUP-SECP384R1", first(o128, "-groups", "P-256:P-384")},
	{"NORMAL:-VERS-TLS1.3", pki.RSA, "NORMAL", first(o128)},
	{"NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+CHACHA20-POLY1305:-KX-ALL:+ECDHE-RSA", pki.RSA, "NORMAL:%SERVER_PRECEDENCE", first(o128)},
	{"NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA:-CIPHER-ALL:+AES-256-GCM", pki.RSA, "NORMAL:%SERVER_PRECEDENCE", first(o128)},
	{"SUITEB128", pki.ECDSA, "NORMAL", first(o128)},
	// So in TLS 1.2 has one with a P-384 key.
	{"SUITEB192", pki.P384, "NORMAL:-SIGN-ECDSA-SHA256", first(o128, "-groups", "X25519:P-256:P-384", "-sigalgs", "ECDSA+SHA384:ECDSA+SHA256", "-client_sigalgs", "ECDSA+SHA384")},
	{"SUITEB192:+VERS-TLS1.3", pki.P384, any13, first(o128, "-groups", "X25519:P-256:P-384")},
}

// siteOf makes a site whose CA and hosts have one kind of key; made once a kind.
func (k *kinds) site(t *testing.T, a pki.Algorithm) (here *Credentials, peer Files) {
	t.Helper()
	if k.made == nil {
		k.made = make(map[pki.Algorithm]func() (*Credentials, Files))
	}
	if k.made[a] == nil {
		ca, err := pki.NewCA(pki.Authority{Name: "test CA", Algorithm: a})
		if err != nil {
			t.Fatal(err)
		}
		s := &site{k.t, ca}
		c := s.creds(s.issue(pki.Host{Names: []string{"here.example.org"}, Algorithm: a}))
		f := s.files(s.issue(pki.Host{Names: []string{"there.example.org"}, Algorithm: a}), ca)
		k.made[a] = func() (*Credentials, Files) { return c, f }
	}
	return k.made[a]()
}

type kinds struct {
	t    *testing.T
	made map[pki.Algorithm]func() (*Credentials, Files)
}

// TestPoliciesAgainstPeers does handshakes with real GnuTLS and OpenSSL on the other end, in both
// roles, and looks where they end.
func TestPoliciesAgainstPeers(t *testing.T) {
	for _, tool := range []string{"gnutls-serv", "gnutls-cli", "openssl"} {
		needTool(t, tool)
	}
	keys := &kinds{t: t}
	for _, tt := range interops {
		pol := policy(t, tt.priority)
		here, peer := keys.site(t, tt.keys)
		inside := func(t *testing.T, cs tls.ConnectionState) {
			t.Helper()
			if err := pol.verify(cs, nil); err != nil {
				t.Error(err)
			}
			if err := pol.finish(cs); err != nil {
				t.Error(err)
			}
			t.Logf("%s, %s, %v", tls.VersionName(cs.Version), tls.CipherSuiteName(cs.CipherSuite), cs.CurveID)
		}
		name := fmt.Sprintf("%s, %s", tt.priority, tt.keys)
		t.Run(name+", gnutls-serv", func(t *testing.T) {
			addr := serve(t, func(port string) (string, *exec.Cmd) {
				return "Server listening", exec.Command("gnutls-serv", "--port", port, "--echo", "--require-client-cert", "--verify-client-cert",
					"--priority", tt.gnutls, "--x509cafile", peer.CA, "--x509certfile", peer.Cert, "--x509keyfile", peer.Key)
			})
			inside(t, dialEcho(t, addr, here.clientConfig(rules(t, "there.example.org"), settings{Policy: pol})))
		})
		t.Run(name+", openssl s_server", func(t *testing.T) {
			addr := serve(t, func(port string) (string, *exec.Cmd) {
				args := append([]string{"s_server", "-accept", "127.0.0.1:" + port, "-rev", "-serverpref", "-Verify", "3", "-verify_return_error", "-CAfile", peer.CA, "-cert", peer.Cert, "-key", peer.Key}, tt.openssl...)
				return "ACCEPT", exec.Command("openssl", args...)
			})
			inside(t, dialEcho(t, addr, here.clientConfig(rules(t, "there.example.org"), settings{Policy: pol})))
		})
		for _, client := range []struct {
			name string
			cmd  func(port string) *exec.Cmd
		}{
			{"gnutls-cli", func(port string) *exec.Cmd {
				return exec.Command("gnutls-cli", "--port", port, "--priority", tt.gnutls, "--verify-hostname", "here.example.org",
					"--x509cafile", peer.CA, "--x509certfile", peer.Cert, "--x509keyfile", peer.Key, "127.0.0.1")
			}},
			{"openssl s_client", func(port string) *exec.Cmd {
				args := append([]string{"s_client", "-connect", "127.0.0.1:" + port, "-quiet", "-verify", "3", "-verify_return_error", "-verify_hostname", "here.example.org",
					"-CAfile", peer.CA, "-cert", peer.Cert, "-key", peer.Key}, tt.openssl...)
				return exec.Command("openssl", args...)
			}},
		} {
			t.Run(name+", "+client.name, func(t *testing.T) {
				cs, err := acceptEcho(t, here.serverConfig(settings{Policy: pol}), client.cmd)
				if err != nil {
					t.Fatal(err)
				}
				inside(t, cs)
			})
		}
	}
}

// serve starts a server on a free port and waits for it to say that it is ready.
func serve(t *testing.T, cmd func(port string) (ready string, _ *exec.Cmd)) (addr string) {
	t.Helper()
	addr, _ = serveCommands(t, cmd)
	return addr
}

// serveCommands is serve with what the server reads.
func serveCommands(t *testing.T, cmd func(port string) (ready string, _ *exec.Cmd)) (addr string, stdin io.Writer) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = ln.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	ln.Close()
	ready, c := cmd(port)
	out, in := io.Pipe()
	c.Stdout, c.Stderr = in, in
	pipe, err := c.StdinPipe() // s_server ends with its input
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	up := make(chan string, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		var log strings.Builder
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			fmt.Fprintln(&log, lines.Text())
			if strings.Contains(lines.Text(), ready) {
				select {
				case up <- "":
				default:
				}
			}
		}
		select {
		case up <- log.String():
		default:
		}
	})
	t.Cleanup(func() {
		pipe.Close()
		c.Process.Kill()
		c.Wait()
		in.Close()
		wg.Wait()
	})
	select {
	case log := <-up:
		if log != "" {
			t.Fatalf("%v ended:\n%s", c.Args, log)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("%v does not come up", c.Args)
	}
	return addr, pipe
}

// dialEcho does a handshake and exchanges a line.
func dialEcho(t *testing.T, addr string, cfg *tls.Config) tls.ConnectionState {
	t.Helper()
	raw, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	conn := clientOver(raw, cfg)
	if _, err := conn.Write([]byte("hello\n")); err != nil {
		t.Fatal(Explain(err, addr))
	}
	got, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || len(got) < 6 {
		t.Fatalf("%q, %v", got, Explain(err, addr))
	}
	return conn.ConnectionState()
}

// acceptEcho takes one connection of a client that is a program, and reads a line from it.
func acceptEcho(t *testing.T, cfg *tls.Config, client func(port string) *exec.Cmd) (tls.ConnectionState, error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c := client(port)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stdin.Close()
		c.Process.Kill()
		c.Wait()
		if t.Failed() {
			t.Logf("%s", out.Bytes())
		}
	}()
	if err := ln.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	raw, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	conn := serverOver(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return tls.ConnectionState{}, err
	}
	if _, err := io.WriteString(stdin, "hello\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := bufio.NewReader(conn).ReadString('\n'); err != nil || strings.TrimSpace(got) != "hello" {
		t.Fatalf("read %q, %v", got, err)
	}
	return conn.ConnectionState(), nil
}

// TestNothingInCommon has peers that share nothing with this host, and looks at the words.
func TestNothingInCommon(t *testing.T) {
	for _, tool := range []string{"gnutls-serv", "gnutls-cli", "openssl"} {
		needTool(t, tool)
	}
	keys := &kinds{t: t}
	here, peer := keys.site(t, pki.ECDSA)
	for _, tt := range []struct {
		name, ours, gnutls string
		cause              Cause
		server             []string // words of ours when the peer connects
		client             []string // and when we connect
	}{
		{"versions", "NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2", CauseVersion,
			[]string{"this host allows TLS1.3", "the peer offers TLS 1.2"}, []string{"this host allows TLS1.3", "does not say"}},
		{"suites", "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+CHACHA20-POLY1305", "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM", CausePolicy,
			[]string{"with TLS_CHACHA20_POLY1305_SHA256", "the peer offers TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384"}, []string{"with TLS_CHACHA20_POLY1305_SHA256", "does not say"}},
		{"suites of TLS 1.2", "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+CHACHA20-POLY1305", "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-256-CCM", CausePolicy,
			[]string{"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "this host allows"}, []string{"this host allows TLS1.2"}},
		{"groups", "NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-X25519", "NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-SECP384R1", CausePolicy,
			[]string{"the groups X25519"}, []string{"the groups X25519"}},
	} {
		pol := policy(t, tt.ours)
		check := func(t *testing.T, err error, words []string) {
			t.Helper()
			err = pol.Explain(err, "there")
			var he *HandshakeError
			// GnuTLS's servers say handshake_failure where versions are what is unlike.
			if !errors.As(err, &he) || he.Cause != tt.cause && (he.Side == Here || he.Cause != CausePolicy) {
				t.Fatalf("%v", err)
			}
			for _, w := range words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q is not in: %v", w, err)
				}
			}
			t.Log(err)
		}
		t.Run(tt.name+", we connect", func(t *testing.T) {
			addr := serve(t, func(port string) (string, *exec.Cmd) {
				return "Server listening", exec.Command("gnutls-serv", "--port", port, "--echo",
					"--priority", tt.gnutls, "--x509cafile", peer.CA, "--x509certfile", peer.Cert, "--x509keyfile", peer.Key)
			})
			raw, err := net.DialTimeout("tcp", addr, 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			if err := raw.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			check(t, clientOver(raw, here.clientConfig(rules(t, "there.example.org"), settings{Policy: pol})).Handshake(), tt.client)
		})
		t.Run(tt.name+", the peer connects", func(t *testing.T) {
			_, err := acceptEcho(t, here.serverConfig(settings{Policy: pol}), func(port string) *exec.Cmd {
				return exec.Command("gnutls-cli", "--port", port, "--priority", tt.gnutls, "--insecure",
					"--x509certfile", peer.Cert, "--x509keyfile", peer.Key, "127.0.0.1")
			})
			check(t, err, tt.server)
		})
	}
}

// TestFinish has a peer sign with a hash that the policy does not allow, and with one that it does.
func TestFinish(t *testing.T) {
	needTool(t, "openssl")
	keys := &kinds{t: t}
	here, peer := keys.site(t, pki.RSA)
	pol := policy(t, "SECURE256")
	for sigalg, ok := range map[string]bool{"RSA-PSS+SHA256": false, "RSA-PSS+SHA384": true, "RSA-PSS+SHA512": true} {
		t.Run(sigalg, func(t *testing.T) {
			addr := serve(t, func(port string) (string, *exec.Cmd) {
				return "ACCEPT", exec.Command("openssl", "s_server", "-accept", "127.0.0.1:"+port, "-rev", "-sigalgs", sigalg,
					"-CAfile", peer.CA, "-cert", peer.Cert, "-key", peer.Key)
			})
			err := pol.finish(dialEcho(t, addr, here.clientConfig(rules(t, "there.example.org"), settings{Policy: pol})))
			var pe *PolicyError
			if (err == nil) != ok || err != nil && (!errors.As(err, &pe) || !strings.Contains(err.Error(), "the peer signed with PSSWithSHA256")) {
				t.Errorf("%v", err)
			}
			cs, err := acceptEcho(t, here.serverConfig(settings{Policy: pol}), func(port string) *exec.Cmd {
				return exec.Command("openssl", "s_client", "-connect", "127.0.0.1:"+port, "-quiet", "-client_sigalgs", sigalg, "-sigalgs", "RSA-PSS+SHA384:RSA-PSS+SHA256",
					"-CAfile", peer.CA, "-cert", peer.Cert, "-key", peer.Key)
			})
			if err != nil {
				t.Fatal(err)
			}
			if peerSigned(cs) == 0 {
				t.Error("crypto/tls does not tell what the peer signed with")
			}
		})
	}
	if err := (*Policy)(nil).finish(tls.ConnectionState{}); err != nil {
		t.Error(err)
	}
}
