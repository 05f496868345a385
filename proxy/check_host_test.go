package proxy

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/control"
)

// What is wrong with this host, told apart. Each case is right but for one thing.
func TestCheckHost(t *testing.T) {
	ca, other := hosttest.NewAuthority(t, "CA"), hosttest.NewAuthority(t, "another CA")
	good := func(h *testHost) {
		h.Trust(ca)
		h.Certify(ca, pki.Host{})
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		name                string
		set                 func(h *testHost)
		top, tables         string
		result, check, code string
		words               []string
	}{
		{name: "nothing", result: "ok", check: "certificates", words: []string{"named in the configuration", "DNS:host-a", `issued by "CN=CA"`, "in 364 days"}},
		{name: "no files", set: func(*testHost) {}, result: "error", check: "certificates", code: "file", words: []string{"ca.pem", "no such file"}},
		{name: "expired", set: func(h *testHost) {
			h.Trust(ca)
			h.Certify(ca, pki.Host{NotBefore: time.Now().Add(-2 * time.Minute), NotAfter: time.Now().Add(-time.Minute)})
		}, result: "error", check: "certificates", code: "file", words: []string{"cert.pem", "expired on", "this host's clock says", "renew"}},
		{name: "expires soon", set: func(h *testHost) {
			h.Trust(ca)
			h.Certify(ca, pki.Host{NotAfter: time.Now().Add(time.Minute)})
		}, result: "warning", check: "certificates", code: "file", words: []string{"cert.pem", "expires on"}},
		{name: "from another CA", set: func(h *testHost) {
			h.Trust(ca)
			h.Certify(other, pki.Host{})
		}, result: "error", check: "certificates", code: "file", words: []string{"cert.pem", "does not come from a CA"}},
		{name: "a key for everyone", set: func(h *testHost) {
			good(h)
			if err := os.Chmod(h.Path("key.pem"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, result: "error", check: "certificates", code: "file", words: []string{"key.pem", "chmod 0600"}},
		{name: "a name of its own", set: func(h *testHost) {
			h.Trust(ca)
			h.Certify(ca, pki.Host{Names: []string{"vm7.example.org"}})
		}, result: "warning", check: "certificates", code: "own-name", words: []string{"cert.pem: this host is called host-a", "DNS:vm7.example.org"}},
		{name: "a key that the policy forbids", top: "priority = 'SECURE192:-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA384'", result: "error", check: "priority", code: "certificate", words: []string{"EC key of 256 bits", "signs with none"}},
		{name: "TLS 1.2 alone", top: "priority = 'NORMAL:-VERS-ALL:+VERS-TLS1.2'", result: "warning", check: "priority", code: "no-tls1.3", words: []string{"slower"}},
		{name: "the port is taken", top: "listen = '" + taken.Addr().String() + "'", result: "error", check: "listen", code: "port-taken", words: []string{taken.Addr().String(), "libvirtd"}},
		{name: "an address of another host", top: "listen = '192.0.2.1:16514'", result: "error", check: "listen", code: "listen", words: []string{"192.0.2.1:16514"}},
		{name: "a folder open to all", set: func(h *testHost) {
			good(h)
			os.Mkdir(h.Path("run"), 0o755)
			os.Chmod(h.Path("run"), 0o777)
		}, result: "error", check: "run folder", code: "folder-rights", words: []string{"replace its sockets", "chmod go-w"}},
		{name: "a file for a folder", set: func(h *testHost) {
			good(h)
			h.Put("run", nil)
		}, result: "error", check: "run folder", code: "no-folder", words: []string{"is no folder"}},
		{name: "many sessions", tables: "[limits]\nsessions = 10000\n", result: "warning", check: "nofile", code: "nofile", words: []string{"limits.sessions is 10000", "LimitNOFILE"}},
		{name: "no libvirt", result: "error", check: "libvirt", code: "libvirt", words: []string{"does not listen at", "start libvirtd"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTestHost(t, "host-a")
			if c.set == nil {
				c.set = good
			}
			c.set(h)
			cfg := h.Configure(c.top, c.tables+"[peers.host-b]\n")
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			r, err := Check(ctx, cfg, "test", &control.CheckRequest{})
			if err != nil {
				t.Fatal(err)
			}
			var found []control.Finding
			for _, f := range r.Findings {
				// There is no libvirt in any of these.
				if f.Code != "libvirt" || c.code == "libvirt" {
					found = append(found, f)
				}
			}
			finds(t, found, c.result, c.check, c.code, "", c.words...)
			if _, err := os.Stat(h.Path("run")); err == nil && c.check != "run folder" {
				t.Error("the check has made the run folder")
			}
		})
	}
}

// QEMU's user must get through every folder on the way.
func TestCheckHostOfAnotherQEMUUser(t *testing.T) {
	needs.Root(t, "for two users")
	ca := hosttest.NewAuthority(t, "CA")
	h := newTestHost(t, "host-a")
	h.Trust(ca)
	h.Certify(ca, pki.Host{})
	cfg := h.Configure("", "")
	cfg.QEMUUser = "65534"
	look := func(result, code string, words ...string) {
		t.Helper()
		r, err := Check(t.Context(), cfg, "test", &control.CheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		var found []control.Finding
		for _, f := range r.Findings {
			if f.Check == "run folder" {
				found = append(found, f)
			}
		}
		finds(t, found, result, "run folder", code, "", words...)
	}
	look("error", "qemu-cannot-enter", h.Folder, "uid 65534", "chmod o+x "+h.Folder)
	if err := os.Chmod(h.Folder, 0o711); err != nil {
		t.Fatal(err)
	}
	look("ok", "", "uid 65534")
}

// A daemon answers for what it has in use.
func TestCheckHostByDaemon(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a, _ := pairOfHosts(t, ca)
	a.noLibvirt = true
	a.start("", "[peers.host-b]\naddress = '127.0.0.1:1'")
	look := func() (*control.Report, []control.Finding) {
		t.Helper()
		r, err := control.New(a.Path("run/control.sock")).Check(t.Context(), &control.CheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		var found []control.Finding
		for _, f := range r.Findings {
			if f.Check != "libvirt" {
				found = append(found, f)
			}
		}
		return r, found
	}
	r, found := look()
	if r.By != control.ByDaemon || r.Host != "host-a" || r.Version != "test" || r.Errors != 1 || r.Warnings != 0 {
		t.Errorf("%+v", r)
	}
	finds(t, found, "ok", "certificates", "", "", "in use: named in the configuration")
	finds(t, found, "ok", "listen", "", "", "the daemon listens on "+a.listening())
	finds(t, found, "ok", "sockets", "", "", "2, under")

	a.Put("cert.pem", []byte("cut"))
	if _, err := a.Reload(); err == nil {
		t.Fatal("a certificate that is none was taken over")
	}
	_, found = look()
	finds(t, found, "error", "certificates", "file", "", "cert.pem: holds no certificate")
	a.Certify(ca, pki.Host{})
	if _, err := a.Reload(); err != nil {
		t.Fatal(err)
	}

	if err := os.Remove(a.Path("run/peers/host-b/libvirt.sock")); err != nil {
		t.Fatal(err)
	}
	_, found = look()
	finds(t, found, "error", "sockets", "socket-gone", "", "peers/host-b/libvirt.sock is gone")

	_, err := control.New(a.Path("run/control.sock")).Check(t.Context(), &control.CheckRequest{Peers: []string{"host-x"}})
	hosttest.Says(t, err, `no peer "host-x" is configured on host-a; configured are: host-b`)
	if !control.IsWrongUse(err) {
		t.Errorf("%v is no wrong use", err)
	}
}
