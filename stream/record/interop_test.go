package record

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/needs"
)

// What OpenSSL and GnuTLS call the suites.
var names = map[uint16]struct{ openssl, gnutls string }{
	tls.TLS_AES_128_GCM_SHA256:       {"TLS_AES_128_GCM_SHA256", "AES-128-GCM"},
	tls.TLS_AES_256_GCM_SHA384:       {"TLS_AES_256_GCM_SHA384", "AES-256-GCM"},
	tls.TLS_CHACHA20_POLY1305_SHA256: {"TLS_CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"},
}

// program is another implementation in a process of its own.
type program struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	log *bytes.Buffer
}

func start(t *testing.T, name string, args ...string) *program {
	t.Helper()
	needs.Program(t, name)
	cmd := exec.CommandContext(t.Context(), name, args...)
	p := &program{cmd: cmd, log: new(bytes.Buffer)}
	cmd.Stderr = p.log
	var err error
	if p.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.in.Close()
		kill := time.AfterFunc(soon, func() { cmd.Process.Kill() })
		cmd.Wait()
		kill.Stop()
		if t.Failed() {
			t.Logf("%s %s\n%s", name, strings.Join(args, " "), p.log)
		}
	})
	return p
}

// listen returns a listener and its port.
func listen(t *testing.T) (net.Listener, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}

// accept is our server's end of a program's connection.
func accept(t *testing.T, l net.Listener, id uint16) *Conn {
	t.Helper()
	l.(*net.TCPListener).SetDeadline(time.Now().Add(soon))
	raw, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	cfg := mutualTLS()
	cfg.ClientAuth = tls.NoClientCert
	c, err := Server(t.Context(), raw, cfg)
	return checked(t, c, err, id)
}

// dial is our client's end of a connection to a program that may only be starting.
func dial(t *testing.T, port string, id uint16) *Conn {
	t.Helper()
	var raw net.Conn
	var err error
	for began := time.Now(); time.Since(began) < soon; {
		if raw, err = net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond) // until the other process listens
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := Client(t.Context(), raw, mutualTLS())
	return checked(t, c, err, id)
}

func checked(t *testing.T, c *Conn, err error, id uint16) *Conn {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if got := c.ConnectionState().CipherSuite; got != id {
		t.Fatalf("suite %s, want %s", tls.CipherSuiteName(got), tls.CipherSuiteName(id))
	}
	c.SetDeadline(time.Now().Add(soon))
	return c
}

func interopSizes() []int {
	return []int{0, 1, 16383, 16384, 16385, 1 + rand.IntN(100_000), BatchBytes + rand.IntN(1_000_000)}
}

// send sends n bytes and the end, and expects the program's output to be them.
func send(t *testing.T, c *Conn, p *program, n int) {
	t.Helper()
	want := noise(n)
	var wg sync.WaitGroup
	wg.Go(func() {
		mustWrite(t, c, want)
		if err := c.CloseWrite(); err != nil {
			t.Error(err)
		}
	})
	mustRead(t, p.out, want)
	wg.Wait()
}

// receive gives the program n bytes and the end to send, and expects them.
func receive(t *testing.T, c *Conn, p *program, n int) {
	t.Helper()
	want := noise(n)
	var wg sync.WaitGroup
	wg.Go(func() {
		mustWrite(t, p.in, want)
		p.in.Close()
	})
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes, %v, want %d", len(got), err, n)
	}
	wg.Wait()
}

func TestOpenSSLServer(t *testing.T) {
	cert, key := certificateFiles(t)
	eachSuite(t, func(t *testing.T, id uint16) {
		for _, n := range interopSizes() {
			for _, direction := range []func(*testing.T, *Conn, *program, int){send, receive} {
				port := strconv.Itoa(needs.Port(t))
				p := start(t, "openssl", "s_server", "-quiet", "-accept", "127.0.0.1:"+port, "-naccept", "1", "-tls1_3",
					"-ciphersuites", names[id].openssl, "-cert", cert, "-key", key)
				direction(t, dial(t, port, id), p, n)
			}
		}
	})
}

func TestOpenSSLClient(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		for _, n := range interopSizes() {
			for _, direction := range []func(*testing.T, *Conn, *program, int){send, receive} {
				l, port := listen(t)
				p := start(t, "openssl", "s_client", "-quiet", "-no_ign_eof", "-nocommands", "-connect", "127.0.0.1:"+port, "-tls1_3",
					"-ciphersuites", names[id].openssl)
				direction(t, accept(t, l, id), p, n)
			}
		}
	})
}

// OpenSSL changes its keys, and asks us to, between lines; we change ours all
// the time. It also pads its records.
func TestOpenSSLKeyUpdates(t *testing.T) {
	cert, key := certificateFiles(t)
	eachSuite(t, func(t *testing.T, id uint16) {
		for _, role := range []Role{IsClient, IsServer} {
			var c *Conn
			var p *program
			if role == IsClient {
				port := strconv.Itoa(needs.Port(t))
				p = start(t, "sh", "-c", `exec openssl "$@" 2>&1`, "sh", "s_server", "-accept", "127.0.0.1:"+port, "-naccept", "1", "-tls1_3", "-record_padding", "500",
					"-ciphersuites", names[id].openssl, "-cert", cert, "-key", key)
				c = dial(t, port, id)
			} else {
				l, port := listen(t)
				p = start(t, "sh", "-c", `exec openssl "$@" 2>&1`, "sh", "s_client", "-connect", "127.0.0.1:"+port, "-tls1_3", "-record_padding", "500",
					"-ciphersuites", names[id].openssl)
				c = accept(t, l, id)
			}
			c.keyRecords = 2
			for i := range 10 {
				line := fmt.Sprintf("line %d\n", i)
				io.WriteString(p.in, line)
				mustRead(t, c, []byte(line))
				mustWrite(t, c, []byte("our "+line))
				waitLine(t, p, "our "+line)
				// OpenSSL takes a command when a read of its input is just that.
				io.WriteString(p.in, []string{"K\n", "k\n"}[i%2])
				waitKeyUpdate(t, c)
			}
			io.WriteString(p.in, "last\n")
			mustRead(t, c, []byte("last\n"))
			if c.KeyUpdatesReceived.Load() < 10 || c.KeyUpdatesSent.Load() < 5 {
				t.Errorf("%d KeyUpdates received, %d sent", c.KeyUpdatesReceived.Load(), c.KeyUpdatesSent.Load())
			}
		}
	})
}

// waitKeyUpdate reads until a KeyUpdate has come, and no data.
func waitKeyUpdate(t *testing.T, c *Conn) {
	t.Helper()
	before := c.KeyUpdatesReceived.Load()
	for began := time.Now(); c.KeyUpdatesReceived.Load() == before; {
		c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if n, err := c.Read(make([]byte, 1)); n != 0 || !isTimeout(err) || time.Since(began) > soon {
			t.Fatalf("read %d, %v, want a KeyUpdate", n, err)
		}
	}
	c.SetReadDeadline(time.Now().Add(soon))
}

// waitLine reads the program's output up to a line.
func waitLine(t *testing.T, p *program, want string) {
	t.Helper()
	for {
		line, err := p.out.ReadString('\n')
		if line == want {
			return
		}
		if err != nil {
			t.Fatalf("waiting for %q: %v", want, err)
		}
	}
}

func gnutlsPriority(id uint16) string {
	return "NONE:+VERS-TLS1.3:+AEAD:+" + names[id].gnutls + ":+GROUP-ALL:+SIGN-ALL:+SHA256:+SHA384"
}

func TestGnuTLSClient(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		for _, n := range interopSizes() {
			for _, direction := range []func(*testing.T, *Conn, *program, int){send, receive} {
				l, port := listen(t)
				p := start(t, "gnutls-cli", "--logfile=/dev/null", "--no-ca-verification", "--port", port, "--priority", gnutlsPriority(id), "127.0.0.1")
				direction(t, accept(t, l, id), p, n)
			}
		}
	})
}

// gnutls-cli changes its keys, asking us to or not.
func TestGnuTLSKeyUpdates(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		l, port := listen(t)
		p := start(t, "gnutls-cli", "--logfile=/dev/null", "--inline-commands", "--no-ca-verification", "--port", port, "--priority", gnutlsPriority(id), "127.0.0.1")
		c := accept(t, l, id)
		c.keyRecords = 2
		for i := range 6 {
			line := fmt.Sprintf("line %d\n", i)
			io.WriteString(p.in, line)
			mustRead(t, c, []byte(line))
			mustWrite(t, c, []byte("our "+line))
			waitLine(t, p, "our "+line)
			io.WriteString(p.in, []string{"^rekey^\n", "^rekey1^\n"}[i%2])
		}
		io.WriteString(p.in, "last\n")
		mustRead(t, c, []byte("last\n"))
		if c.KeyUpdatesReceived.Load() < 6 || c.KeyUpdatesSent.Load() < 3 {
			t.Errorf("%d KeyUpdates received, %d sent", c.KeyUpdatesReceived.Load(), c.KeyUpdatesSent.Load())
		}
	})
}

// gnutls-serv sends back each line that it gets.
func TestGnuTLSServer(t *testing.T) {
	cert, key := certificateFiles(t)
	eachSuite(t, func(t *testing.T, id uint16) {
		port := strconv.Itoa(needs.Port(t))
		p := start(t, "gnutls-serv", "--echo", "--quiet", "--port", port, "--priority", gnutlsPriority(id), "--x509certfile", cert, "--x509keyfile", key)
		t.Cleanup(func() { p.cmd.Process.Kill() })
		for _, keys := range []uint64{keyRecords, 3} {
			c := dial(t, port, id)
			c.keyRecords = keys
			for _, n := range interopSizes() {
				text := bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:max(n, 1)]
				text[len(text)-1] = '\n'
				var wg sync.WaitGroup
				wg.Go(func() { mustWrite(t, c, text) })
				mustRead(t, c, text)
				wg.Wait()
			}
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
			if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("%d, %v, want the end", n, err)
			}
			c.Close()
		}
	})
}
