package proxy

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/pki"
)

// Prometheus' path alone is served, to be read.
func TestNothingButMetrics(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a, b := pairOfHosts(t, ca)
	b.start(withMetrics, hosttest.PeerA)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/metrics", 200},
		{"HEAD", "/metrics", 200},
		{"POST", "/metrics", 405},
		{"DELETE", "/metrics", 405},
		{"GET", "/", 404},
		{"GET", "/metrics/", 404},
		{"GET", "/v1/status", 404},
		{"GET", "/debug/pprof/", 404},
	} {
		r, err := http.NewRequest(c.method, "http://"+*b.metricsAddr.Load()+c.path, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != c.status {
			t.Errorf("%s %s: %s, want %d", c.method, c.path, answer.Status, c.status)
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()

	a.start("", peerTable(b, ""))
	if at := a.metricsAddr.Load(); at != nil {
		t.Errorf("metrics are served at %s, though none are configured", *at)
	}
	if log := b.logged.String(); !strings.Contains(log, `"metrics":"`+*b.metricsAddr.Load()+`"`) {
		t.Errorf("the log does not say where metrics are:\n%s", log)
	}
}

// A port that is taken ends the start, with everything that it had opened.
func TestMetricsPortIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ca := hosttest.NewAuthority(t, "CA")
	a := newTestHost(t, "host-a")
	a.Trust(ca)
	a.Certify(ca, pki.Host{})
	d, err := New(Options{Config: a.Configure("metrics = '"+l.Addr().String()+"'", ""), Log: zerolog.New(&a.logged), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	hosttest.Says(t, d.Run(t.Context(), nil), l.Addr().String(), "(metrics)", "address already in use")
	if c, err := net.Dial("tcp", d.listener.Addr().String()); err == nil {
		c.Close()
		t.Error("peers can still connect")
	}
}

// Metrics are there as long as sessions are, and gone when Run returns.
func TestMetricsOfADrain(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a, b := pairOfHosts(t, ca)
	b.start("", hosttest.PeerA)
	a.startEcho()
	d, err := New(Options{Config: a.Configure(withMetrics, peerTable(b, "")), Log: zerolog.New(&a.logged), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	a.Daemon = d
	drain, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- d.Run(t.Context(), drain) }()
	<-d.Ready()
	c := a.echo("host-b")
	echoes(t, c, "before the drain")
	close(drain)
	hosttest.Eventually(t, "the drain", func() bool { return d.status().Draining })
	a.shows("draining", map[string]float64{`sluice_sessions{direction="out",work="libvirt"}`: 1})
	at := *d.metricsAddr.Load()
	idle, err := net.Dial("tcp", at) // and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	c.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", at); err == nil {
		c.Close()
		t.Error("metrics are still served")
	}
}
