package check_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/site"
	"github.com/virt-sluice/sluice/proxy/control"
)

// TestBetweenHosts checks as an operator would, between two hosts with real
// libvirtds, which are then made to fail in turn.
func TestBetweenHosts(t *testing.T) {
	lab.Require(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	binary := filepath.Join(t.TempDir(), "sluice")
	if out, err := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", binary, "../../cmd/sluice").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l, err := lab.Up(ctx, lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	}()
	s, err := site.Start(ctx, l, site.Options{Binary: binary, Config: "limits.handshake_timeout = \"3s\"\npeers.elsewhere.address = \"198.51.100.1\"\n"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}()
	x := &hosts{t, ctx, s}

	r := x.check(0)
	x.has(r, "ok", "libvirt", "", "libvirt ")
	x.has(r, "ok", "accept", "", "all 0 guests")
	_, err = l.A.StartGuest(ctx, lab.GuestSpec{Name: "plain", DisksMiB: []int{1}})
	x.must(err)
	x.has(x.check(0), "ok", "accept", "", "all 1 guests")
	x.must(os.WriteFile(l.A.Path("/run/odd.xml"), []byte(oddGuest), 0o644))
	_, err = l.A.Virsh(ctx, "define", "/run/odd.xml")
	x.must(err)
	r = x.check(0)
	x.has(r, "warning", "accept", "accept", `guest odd could not come`)
	x.has(r, "warning", "accept", "accept", `"/etc/shadow"`)
	x.has(r, "warning", "accept", "accept", `accept.folders`)
	_, err = l.A.Virsh(ctx, "undefine", "odd")
	x.must(err)
	_, err = l.A.Virsh(ctx, "destroy", "plain")
	x.must(err)
	x.has(r, "ok", "certificates", "", "in use: libvirt's layout in /etc/pki")
	r = x.check(0, "--peer", "host-b")
	x.has(r, "ok", "resolve", "", "host-b is "+l.B.Addr)
	x.has(r, "ok", "TLS", "", "TLS1.3 with")
	x.has(r, "ok", "answer", "", "knows this host as its peer host-a")
	x.has(r, "ok", "libvirt", "", "answers behind it")

	x.has(x.check(1, "--peer", "elsewhere"), "error", "connect", "unreachable", "198.51.100.1:16514 cannot be reached")

	// Without the daemon's help the answer is the same.
	x.has(x.check(0, "--config", site.ConfigFile, "--peer", "host-b"), "ok", "libvirt", "", "answers behind it")

	x.must(l.B.KillLibvirtd(ctx, syscall.SIGKILL))
	r = x.check(1, "--all-peers")
	x.has(r, "error", "libvirt", "libvirt", "host-b reaches no libvirt")
	x.has(r, "error", "connect", "unreachable", "")

	x.must(l.CutLink())
	x.has(x.check(1, "--peer", "host-b"), "error", "connect", "port-filtered", "no answer from host-b:16514 within 3s")
	x.must(l.RestoreLink())

	// libvirtd's own TLS port in the place of sluice's.
	x.must(s.B.Kill())
	x.has(x.check(1, "--peer", "host-b"), "error", "connect", "port-closed", "nothing listens at host-b:16514")
	x.libvirtdTLS("")
	x.has(x.check(1, "--peer", "host-b"), "error", "TLS", "libvirtd", "host-b:16514 is libvirtd's own TLS port")

	// One that would not even have this host.
	x.must(l.B.KillLibvirtd(ctx, syscall.SIGTERM))
	x.libvirtdTLS(`tls_allowed_dn_list = ["CN=nobody"]`)
	x.has(x.check(1, "--peer", "host-b"), "error", "TLS", "not-sluice", "perhaps libvirtd")
}

const oddGuest = `<domain type='qemu'><name>odd</name><memory>65536</memory><os><type>hvm</type></os>
<devices><disk type='file'><driver name='qemu' type='raw'/><source file='/etc/shadow'/><target dev='vda'/></disk></devices></domain>`

type hosts struct {
	t   *testing.T
	ctx context.Context
	*site.Site
}

func (s *hosts) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// check runs sluice check on host-a, twice: for people and for programs.
func (s *hosts) check(status int, args ...string) *control.Report {
	s.t.Helper()
	var r *control.Report
	for _, form := range [][]string{nil, {"--json"}} {
		cmd := s.A.Command(s.ctx, append(append([]string{"check"}, args...), form...)...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) || cmd.ProcessState.ExitCode() != status || errs.Len() > 0 {
			s.t.Fatalf("sluice check %s ends with %v, want status %d\n%s%s", args, cmd.ProcessState, status, &out, &errs)
		}
		if form == nil {
			s.t.Logf("sluice check %s\n%s", strings.Join(args, " "), &out)
			continue
		}
		r = new(control.Report)
		s.must(json.Unmarshal(out.Bytes(), r))
	}
	return r
}

func (s *hosts) has(r *control.Report, result, check, code, text string) {
	s.t.Helper()
	for _, f := range r.Findings {
		if f.Result == result && f.Check == check && f.Code == code && strings.Contains(f.Text, text) {
			return
		}
	}
	s.t.Errorf("no %s of %q with code %q and %q among\n%+v", result, check, code, text, r.Findings)
}

// libvirtdTLS starts host-b's libvirtd so that it listens for TLS, on sluice's
// port and with sluice's certificates.
func (s *hosts) libvirtdTLS(more string) {
	s.t.Helper()
	path := s.B.Host.Path("/etc/libvirt/libvirtd.conf")
	conf, err := os.ReadFile(path)
	s.must(err)
	text := strings.Replace(string(conf), "listen_tls = 0", "listen_tls = 1", 1)
	s.must(os.WriteFile(path, fmt.Appendf(nil, "%s\nauth_tls = \"none\"\n%s\n", strings.ReplaceAll(text, "auth_tls = \"none\"\n", ""), more), 0o644))
	s.must(s.B.Host.StartLibvirtd(s.ctx))
}
