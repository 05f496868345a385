package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/rundir"
)

// someUser is none of sluice's.
const someUser = 4242

// startPage starts a host with its page at a place.
func startPage(t *testing.T, tables string) *testHost {
	t.Helper()
	ca := hosttest.NewAuthority(t, "CA")
	a, b := pairOfHosts(t, ca)
	b.start("", hosttest.PeerA)
	a.start("", peerTable(b, "")+tables)
	return a
}

// browse makes a request as another program of a user's, and returns the answer with its header.
func browse(t *testing.T, uid uint32, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "curl", append([]string{"-sS", "-i", "--max-time", "60"}, args...)...)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	c.Dir = "/"
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s%v", out, err)
	}
	return string(out)
}

func says(t *testing.T, what, got string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(got, w) {
			t.Errorf("%s: no %q in\n%.2000s", what, w, got)
		}
	}
}

// By default the page is at a socket in the run folder, for those who may use the control socket, and
// so is the token.
func TestPageAtItsSocket(t *testing.T) {
	needs.Root(t, "to be another user")
	a := startPage(t, "")
	if err := os.Chmod(a.Folder, 0o711); err != nil {
		t.Fatal(err)
	}
	at := []string{"--unix-socket", a.Path("run/" + rundir.WebSocket)}
	says(t, "root", browse(t, 0, append(at, "http://localhost:8080/")...), "200 OK", "<title>sluice</title>")
	says(t, "history", browse(t, 0, append(at, "http://localhost/v1/history")...), "200 OK", `"host":"host-a"`)
	says(t, "a stranger", browse(t, someUser, append(at, "http://localhost/v1/history")...), "403 Forbidden", "uid 4242 may not use sluice on host-a", "Connection: close")
	says(t, "another name", browse(t, 0, append(at, "http://rebound.example.org/v1/history")...), "421 Misdirected", "rebound.example.org")
	says(t, "another name of a stranger", browse(t, someUser, append(at, "http://rebound.example.org/")...), "421 Misdirected")

	file := a.Path("run/" + rundir.WebToken)
	token, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cancel := append(at, "-d", `{"guest":"none"}`, "http://localhost/v1/cancel", "-H")
	says(t, "without the token", browse(t, 0, append(cancel, "Authorization: Bearer no")...), "401 Unauthorized")
	says(t, "without a method that takes one", browse(t, 0, append(at, "-I", "http://localhost/v1/history")...), "405 Method Not Allowed")
	if strings.Contains(a.logged.String(), "with the token") {
		t.Errorf("the log tells of a token that nobody had:\n%s", a.logged.String())
	}
	says(t, "with the token", browse(t, 0, append(cancel, "Authorization: Bearer "+strings.TrimSpace(string(token)))...), "409 Conflict", "carries a guest")
	says(t, "log", a.logged.String(), `"by":"uid 0"`, "asked by the page", "request to the page refused")
	reads := func() bool {
		c := exec.Command("cat", file)
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: someUser, Gid: someUser}}
		out, _ := c.Output()
		return string(out) == string(token)
	}
	if reads() {
		t.Error("a stranger reads the token")
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}

	// A user who is added may look and cancel at once, with the token that there is.
	a.rewrite("run_dir", fmt.Sprintf("users = ['%d']\nrun_dir", someUser))
	a.reloaded()
	says(t, "a user", browse(t, someUser, append(at, "http://localhost/v1/history")...), "200 OK")
	if !reads() {
		t.Error("a user does not read the token")
	}

	a.stop()
	for _, name := range []string{rundir.WebSocket, rundir.WebToken} {
		if _, err := os.Stat(a.Path("run/" + name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// At a port on loopback it is asked whose process connects, as the kernel knows.
func TestPageOnLoopback(t *testing.T) {
	needs.Root(t, "to be another user")
	a := startPage(t, "[web]\nlisten = '127.0.0.1:0'\n")
	at := "http://" + *a.pageAddr.Load()
	_, port, _ := net.SplitHostPort(*a.pageAddr.Load())
	says(t, "root", browse(t, 0, at+"/"), "200 OK", "<title>sluice</title>")
	says(t, "by the name", browse(t, 0, "http://localhost:"+port+"/"), "200 OK")
	says(t, "a stranger", browse(t, someUser, at+"/"), "403 Forbidden", "uid 4242 may not use sluice on host-a")
	says(t, "another name", browse(t, 0, "--resolve", "rebound.example.org:"+port+":127.0.0.1", "http://rebound.example.org:"+port+"/"), "421 Misdirected")
	if log := a.logged.String(); !strings.Contains(log, `"page":"`+*a.pageAddr.Load()+`"`) {
		t.Errorf("the log does not say where the page is:\n%s", log)
	}

	// Strangers that hold connections keep no user away.
	hold := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestHoldConnections$")
	hold.Env = append(os.Environ(), holdVariable+"="+*a.pageAddr.Load())
	hold.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: someUser, Gid: someUser}}
	hold.Dir = "/"
	out, err := hold.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := hold.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := hold.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 5)); err != nil { // "ready"
		t.Fatal(err)
	}
	says(t, "root among strangers", browse(t, 0, at+"/"), "200 OK")
	in.Close()
	io.Copy(io.Discard, out)
	hold.Wait()

	a.rewrite("[web]\nlisten = '127.0.0.1:0'", "[web]\nlisten = 'off'")
	a.reloaded()
	if got := a.pageAddr.Load(); got != nil {
		t.Errorf("the page is still at %s", *got)
	}
}

// holdVariable has the test's program hold connections to an address until its input ends.
const holdVariable = "SLUICE_TEST_HOLD"

func TestHoldConnections(t *testing.T) {
	at := os.Getenv(holdVariable)
	if at == "" {
		return
	}
	for range 200 {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	fmt.Print("ready")
	io.Copy(io.Discard, os.Stdin)
}

// From other hosts those may look whose certificates web.names has.
func TestPageForOtherHosts(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a := newTestHost(t, "host-a")
	a.Trust(ca)
	a.Certify(ca, pki.Host{Names: []string{"host-a", "page.example.org"}})
	at := otherAddress(t) + ":0"
	a.start("", "[web]\nlisten = '"+at+"'\nnames = ['operator-*']\n")
	addr := *a.pageAddr.Load()
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	get := func(names []string, host string) (string, error) {
		cfg := &tls.Config{RootCAs: roots, ServerName: "page.example.org"}
		if names != nil {
			pair, err := ca.Issue(pki.Host{Names: names})
			if err != nil {
				t.Fatal(err)
			}
			cfg.Certificates = []tls.Certificate{pair.TLS()}
		}
		transport := &http.Transport{TLSClientConfig: cfg, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}}
		defer transport.CloseIdleConnections()
		answer, err := (&http.Client{Transport: transport}).Get("https://" + host + "/v1/history")
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		return answer.Status + " " + string(body), err
	}
	got, err := get([]string{"operator-1"}, "page.example.org")
	if err != nil || !strings.Contains(got, `"host":"host-a"`) {
		t.Errorf("an operator: %q, %v", got, err)
	}
	got, err = get([]string{"operator-1"}, "rebound.example.org")
	if err != nil || !strings.HasPrefix(got, "421 ") {
		t.Errorf("another name: %q, %v", got, err)
	}
	for _, names := range [][]string{nil, {"host-b"}} {
		if got, err := get(names, "page.example.org"); err == nil {
			t.Errorf("%q may look: %s", names, got)
		}
	}
	hosttest.Eventually(t, "the log of refusals", func() bool {
		return strings.Contains(a.logged.String(), "web.names on host-a has none of its names")
	})
	if answer, err := http.Get("http://" + addr + "/"); err == nil {
		answer.Body.Close()
		if answer.StatusCode == 200 {
			t.Error("it is served without TLS")
		}
	}
}

// otherAddress is one of this host's that is not loopback's.
func otherAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() {
			return p.Addr().String()
		}
	}
	t.Skip("this host has no address but loopback's")
	return ""
}
