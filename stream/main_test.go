package stream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/pki"
	"go.uber.org/goleak"
)

// patience bounds whatever must not hang.
const patience = 20 * time.Second

// TestMain checks that all tests together leave no goroutine and no socket.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		os.Exit(m.Run())
	}
	flag.Set("test.parallel", "8") // they wait more than they work
	before := sockets()
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		if after := sockets(); after != before {
			fmt.Fprintf(os.Stderr, "%d sockets before the tests, %d after\n", before, after)
			code = 1
		}
	}
	os.Exit(code)
}

// sockets is how many this process has. Pipes don't count: package relay keeps some for later.
func sockets() int {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	n := 0
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// credentials are a CA's, for each host one pair.
var credentials = sync.OnceValue(func() map[string]*tls.Config {
	ca, err := pki.NewCA(pki.Authority{})
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	configs := make(map[string]*tls.Config)
	for _, host := range []string{"host-a", "host-b", "host-c"} {
		pair, err := ca.Issue(pki.Host{Names: []string{host}})
		if err != nil {
			panic(err)
		}
		configs[host] = &tls.Config{
			MinVersion:   tls.VersionTLS13,
			NextProtos:   []string{"sluice/1"},
			Certificates: []tls.Certificate{pair.TLS()},
			RootCAs:      pool,
			ClientCAs:    pool,
			ClientAuth:   tls.RequireAndVerifyClientCert,
			ServerName:   "host-b",
		}
	}
	return configs
})

func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("nothing came within %v", patience)
	}
	panic("unreachable")
}

func within(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Errorf("%s still runs after %v", what, patience)
	}
}

func wait(t testing.TB, s *Session) *Cause {
	t.Helper()
	var c *Cause
	within(t, "Session.Wait", func() { c = s.Wait() })
	if c == nil {
		t.FailNow()
	}
	return c
}

// expect checks a cause's code, and that its words contain all of words.
func expect(t testing.TB, err error, code string, words ...string) {
	t.Helper()
	var c *Cause
	if !errors.As(err, &c) {
		t.Errorf("%v is no Cause", err)
		return
	}
	if c.Code != code {
		t.Errorf("%v: code %s, want %s", c, c.Code, code)
	}
	for _, w := range words {
		if !strings.Contains(c.Error(), w) {
			t.Errorf("%q lacks %q", c.Error(), w)
		}
	}
}

// until polls for what nobody reports.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	often := time.NewTicker(time.Millisecond)
	defer often.Stop()
	for end := time.Now().Add(patience); !f(); <-often.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}
