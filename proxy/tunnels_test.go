package proxy

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/control"
)

// tunnelNamed is what status says of a tunnel.
func (h *testHost) tunnelNamed(name string) control.TunnelStatus {
	h.T.Helper()
	for _, t := range h.status().Tunnels {
		if t.Name == name {
			return t
		}
	}
	h.T.Fatalf("%s has no tunnel %q", h.Name, name)
	return control.TunnelStatus{}
}

// dialTunnel connects to where a tunnel listens.
func (h *testHost) dialTunnel(name string) net.Conn {
	h.T.Helper()
	network, at, _ := strings.Cut(h.tunnelNamed(name).Address, ":")
	if network == "tls" {
		network = "tcp"
	}
	c, err := net.Dial(network, at)
	if err != nil {
		h.T.Fatal(err)
	}
	h.T.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// passes sends a line through a tunnel, which cat gives back.
func passes(t *testing.T, c net.Conn, text string) {
	t.Helper()
	io.WriteString(c, text)
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("%q came back, %v", got, err)
	}
}

const toCat = "[[tunnel]]\nname = 'cat'\nlisten = 'tcp:127.0.0.1:0'\nto = 'exec:cat'\nallow = ['host-a']\n"

func (h *testHost) toTunnelOf(other *testHost) string {
	return fmt.Sprintf("[[tunnel]]\nname = 'out'\nlisten = 'unix:%s/run/tunnels/out.sock'\nto = '%s'\ntls_name = 'host-b'\n", h.Folder, other.tunnelNamed("cat").Address)
}

// Two daemons and a stream through both, TLS by the hosts' default alone; what
// status and metrics say of it.
func TestTunnels(t *testing.T) {
	a, b := pairOfHosts(t, hosttest.NewAuthority(t, "CA"))
	b.start(withMetrics, toCat)
	a.start(withMetrics, a.toTunnelOf(b))
	a.shows("at first", map[string]float64{
		`sluice_tunnel_connections{tunnel="out"}`:                              0,
		`sluice_tunnel_connections_ended_total{outcome="failed",tunnel="out"}`: 0,
	})
	c := a.dialTunnel("out")
	passes(t, c, "through both")
	for h, want := range map[*testHost]control.TunnelStatus{
		a: {Name: "out", To: a.now().tunnels[0].conf.To, TLSSides: []string{"to"}, ServerName: "host-b"},
		b: {Name: "cat", To: "exec:cat", TLSSides: []string{"listen"}},
	} {
		h.shows("under way", map[string]float64{
			`sluice_tunnel_connections{tunnel="` + want.Name + `"}`:          1,
			`sluice_tunnel_sent_bytes_total{tunnel="` + want.Name + `"}`:     12,
			`sluice_tunnel_received_bytes_total{tunnel="` + want.Name + `"}`: 12,
		})
		got := h.tunnelNamed(want.Name)
		if got.TLS != control.Unset || got.TLSInEffect != control.Yes || got.TLSWhy != "this host's default" || got.To != want.To ||
			fmt.Sprint(got.TLSSides) != fmt.Sprint(want.TLSSides) || got.ServerName != want.ServerName || got.Certificates != "named in the configuration" {
			t.Errorf("%s: %+v", h.Name, got)
		}
		if len(got.Connections) != 1 || got.Connections[0].TLS != "TLS1.3" || got.Connections[0].Path == "" || got.Sent != 12 || got.Received != 12 {
			t.Errorf("%s: %+v", h.Name, got)
		}
	}
	c.(*net.UnixConn).CloseWrite()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read %v", err)
	}
	for h, name := range map[*testHost]string{a: "out", b: "cat"} {
		h.shows("ended", map[string]float64{
			`sluice_tunnel_connections{tunnel="` + name + `"}`:                            0,
			`sluice_tunnel_connections_ended_total{outcome="done",tunnel="` + name + `"}`: 1,
			`sluice_tunnel_sent_bytes_total{tunnel="` + name + `"}`:                       12,
		})
	}
	if e := b.tunnelNamed("cat").Ended; len(e) != 1 || e[0].Command != "status 0" || e[0].Cause != "" {
		t.Errorf("%+v", e)
	}
	// In clear nobody gets in.
	plain := b.dialTunnel("cat")
	io.WriteString(plain, "GET / HTTP/1.1\r\n\r\n")
	hosttest.Eventually(t, "the failure", func() bool { return b.tunnelNamed("cat").Failed == 1 })
	if e := b.tunnelNamed("cat").Ended[0]; !strings.Contains(e.Cause, "HTTP without TLS") || e.Sent != 0 {
		t.Errorf("%+v", e)
	}
}

// A tunnel's own certificates are what it shows, and are reloaded with the
// host's; new connections have the new ones.
func TestTunnelCertificates(t *testing.T) {
	ca, other := hosttest.NewAuthority(t, "CA"), hosttest.NewAuthority(t, "other")
	a, b := pairOfHosts(t, ca)
	store := newTestHost(t, "host-b") // only its folder
	store.Trust(other)
	store.Certify(other, pki.Host{})
	own := fmt.Sprintf("certificates = { ca = '%[1]s/ca.pem', cert = '%[1]s/cert.pem', key = '%[1]s/key.pem', reload = '-1s' }\n", store.Folder)
	b.start(withMetrics, toCat+own)
	a.start("", a.toTunnelOf(b))
	failed := func(n uint64, words string) {
		t.Helper()
		c := a.dialTunnel("out")
		io.WriteString(c, "secret")
		io.Copy(io.Discard, c)
		hosttest.Eventually(t, "the failure", func() bool { return a.tunnelNamed("out").Failed == n })
		if e := a.tunnelNamed("out").Ended[0]; !strings.Contains(e.Cause, words) || e.Sent != 0 {
			t.Errorf("%+v", e)
		}
	}
	failed(1, "does not come from a CA that this host trusts")
	if st := b.tunnelNamed("cat"); st.Own == nil || len(st.Own.Files) != 3 {
		t.Errorf("%+v", st)
	}
	store.Put("cert.pem", []byte("spoilt"))
	if _, err := b.Reload(); err == nil {
		t.Error("a spoilt certificate was taken over")
	}
	b.shows("spoilt", map[string]float64{`sluice_last_reload_successful{part="certificates"}`: 0})
	if st := b.tunnelNamed("cat"); len(st.Own.ReloadErrors) != 1 {
		t.Errorf("%+v", st.Own)
	}
	failed(2, "does not come from a CA that this host trusts")
	store.Trust(ca)
	store.Certify(ca, pki.Host{})
	if _, err := b.Reload(); err != nil {
		t.Fatal(err)
	}
	b.shows("mended", map[string]float64{`sluice_last_reload_successful{part="certificates"}`: 1})
	passes(t, a.dialTunnel("out"), "with the new ones")
}

// A policy of the tunnel's own, and none in common.
func TestTunnelPolicy(t *testing.T) {
	a, b := pairOfHosts(t, hosttest.NewAuthority(t, "CA"))
	b.start("", toCat+"priority = 'NORMAL:-VERS-ALL:+VERS-TLS1.2'\n")
	a.start("", a.toTunnelOf(b)+"priority = 'NORMAL:-VERS-ALL:+VERS-TLS1.3'\n"+
		strings.NewReplacer("'out'", "'older'", "out.sock", "older.sock").Replace(a.toTunnelOf(b)))
	passes(t, a.dialTunnel("older"), "by TLS 1.2")
	if c := a.tunnelNamed("older").Connections[0]; c.TLS != "TLS1.2" || c.Path != "crypto/tls" {
		t.Errorf("%+v", c)
	}
	c := a.dialTunnel("out")
	io.WriteString(c, "secret")
	io.Copy(io.Discard, c)
	for h, name := range map[*testHost]string{a: "out", b: "cat"} {
		hosttest.Eventually(t, "the failure", func() bool { return h.tunnelNamed(name).Failed == 1 })
		if e := h.tunnelNamed(name).Ended[0]; !strings.Contains(e.Cause, "version") || e.Sent != 0 {
			t.Errorf("%s: %+v", h.Name, e)
		}
	}
}

// A drain ends the listening and waits for what is under way.
func TestTunnelDrain(t *testing.T) {
	_, b := pairOfHosts(t, hosttest.NewAuthority(t, "CA"))
	d, err := New(Options{Config: b.Configure("", toCat+"tls = 'no'\n[[tunnel]]\nname = 'once'\nlisten = 'exec:true'\nto = 'exec:cat'\n"), Log: zerolog.New(&b.logged), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	b.Daemon = d
	drain, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- d.Run(t.Context(), drain) }()
	<-d.Ready()
	hosttest.Eventually(t, "the end of the one connection", func() bool { return b.tunnelNamed("once").Over })
	if st := b.tunnelNamed("cat"); st.TLS != control.No || st.TLSInEffect != control.No || st.TLSWhy != `tls = "no"` {
		t.Errorf("%+v", st)
	}
	c := b.dialTunnel("cat")
	passes(t, c, "before")
	at := strings.TrimPrefix(b.tunnelNamed("cat").Address, "tcp:")
	close(drain)
	hosttest.Eventually(t, "the listening's end", func() bool {
		late, err := net.Dial("tcp", at)
		if err == nil {
			late.Close()
		}
		return err != nil
	})
	passes(t, c, "and after")
	select {
	case err := <-ended:
		t.Fatalf("it has ended: %v", err)
	default:
	}
	c.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// What a tunnel cannot have is told before anything is opened, and says where
// certificates were looked for.
func TestTunnelsRefused(t *testing.T) {
	_, b := pairOfHosts(t, hosttest.NewAuthority(t, "CA"))
	for _, c := range []struct{ tables, want string }{
		{toCat + "certificates = { dir = '/nonexistent/pki', layout = 'qemu' }\n", `tunnel "cat": certificates: no certificates found; looked at qemu's /nonexistent/pki`},
		{toCat + "tls = 'yes'\ncertificates = { ca = '/nonexistent/ca.pem', cert = '/c.pem', key = '/k.pem' }\n", "/nonexistent/ca.pem"},
	} {
		_, err := New(Options{Config: b.Configure("", c.tables), Log: zerolog.Nop(), Version: "test"})
		hosttest.Says(t, err, c.want)
	}
	d, err := New(Options{Config: b.Configure("", "[[tunnel]]\nlisten = 'fd:999'\nto = 'exec:cat'\n"), Log: zerolog.Nop(), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	hosttest.Says(t, d.Run(t.Context(), nil), `tunnel "fd:999"`, "sluice was not started with it")
}
