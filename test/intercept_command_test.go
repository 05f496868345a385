package test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// What is refused, and in which words.
func TestInterceptRefuses(t *testing.T) {
	t.Parallel()
	s, a, b := interceptedHosts(t)
	url := "http://host-b:49160/"
	_, errs, status := s.asNobody(s.A, "curl", "-sS", url)
	if status == 0 {
		t.Error("a user that is not QEMU's was carried")
	}
	if !strings.Contains(errs, "reset") {
		t.Errorf("curl: %s", errs)
	}
	a.logged("intercepted connection refused", "uid 65534 may not connect to peers' migration ports")

	if _, _, status = s.run(s.A, "curl", "-sS", url); status == 0 {
		t.Error("curl succeeded")
	}
	sameCause(a, b, "host-b: nothing listens at port 49160: no guest is expected there")

	// What listens there and is not QEMU is none of a peer's business.
	l := s.B.Command(s.ctx, "setpriv", "--reuid", "65534", "--clear-groups", "qemu-nbd", "--port", "49160", "--persistent", "--image-opts", "driver=null-co")
	s.background(l)
	s.listening(s.B, 49160)
	if _, _, status = s.run(s.A, "curl", "-sS", url); status == 0 {
		t.Error("curl succeeded")
	}
	uid, _, err := lab.QEMUUser()
	s.check(err)
	sameCause(a, b, fmt.Sprintf("host-b: port 49160 is held by another program (uid 65534), not QEMU (qemu_user, uid %d)", uid))

	// Straight at the port, without the kernel's having led it there.
	if _, _, status = s.run(s.A, "curl", "-sS", "http://127.0.0.1:16516/"); status == 0 {
		t.Error("curl succeeded")
	}
	a.logged("the kernel did not redirect it here")
}

func TestInterceptCommands(t *testing.T) {
	t.Parallel()
	s, a, b := interceptedHosts(t)
	list := func(args ...string) string {
		out, errs, _ := s.run(s.A, "nft", append(args, "list", "table", "inet", "sluice")...)
		return out + errs
	}
	if printed, want := a.intercept("up", "--print"), list("-s"); printed != want {
		t.Errorf("--print:\n%s\nnft:\n%s", printed, want)
	}
	says(t, "up", a.intercept("up"), "interception was on already")
	says(t, "down", a.intercept("down"), "interception is off")
	if out := list(); !strings.Contains(out, "No such file") {
		t.Errorf("there is still a table: %s", out)
	}
	if rules, _, _ := s.run(s.A, "nft", "list", "ruleset"); rules != "" {
		t.Errorf("left: %s", rules)
	}
	says(t, "down", a.intercept("down"), "interception was off already")
	a.intercept("up", "--print")
	if out := list(); !strings.Contains(out, "No such file") {
		t.Errorf("--print has made a table: %s", out)
	}
	out, errs, status := s.run(s.A, s.command, "intercept", "show", "--config", a.config)
	if status != 1 {
		t.Errorf("show: status %d, %s%s", status, out, errs)
	}
	says(t, "show", out, "interception is off")
	if out := a.intercept("up"); strings.Contains(out, "nobody listens") {
		t.Errorf("up: %s", out)
	}

	// The configuration changes.
	b.killed()
	a.killed()
	other := s.write("other.toml", []byte(strings.NewReplacer("[intercept]", "[intercept]\nports = \"49152-49300\"").Replace(a.read())))
	out, _, status = s.run(s.A, s.command, "intercept", "show", "--config", other)
	if status != 1 {
		t.Errorf("show: status %d", status)
	}
	says(t, "show", out, "the kernel differs from the configuration (intercept.ports is 49152-49300)", "where nothing listens")
	_, errs, status = s.asNobody(s.A, s.command, "intercept", "down")
	if status != 1 {
		t.Errorf("down: status %d", status)
	}
	says(t, "down as nobody", errs, "it needs root, or CAP_NET_ADMIN")
	plain := s.write("plain.toml", []byte("[peers.host-b]\n"))
	_, errs, status = s.run(s.A, s.command, "intercept", "up", "--config", plain)
	if status != 2 {
		t.Errorf("up without [intercept]: status %d", status)
	}
	says(t, "up", errs, "no [intercept] is configured")
	nowhere := s.write("nowhere.toml", []byte("[peers.host-x]\n[intercept]\n"))
	_, errs, status = s.run(s.A, s.command, "intercept", "up", "--config", nowhere)
	if status != 1 {
		t.Errorf("up with a peer that does not resolve: status %d", status)
	}
	says(t, "up", errs, "host-x", "does not resolve", "peers.host-x.intercept")
	says(t, "up", a.intercept("up"), "interception was on already", "nothing listens at port 16516 yet")
	var st control.InterceptStatus
	s.check(json.Unmarshal([]byte(a.intercept("show", "--json")), &st))
	if !st.On || st.Problem != "" || len(st.Routes) != 2 {
		t.Errorf("show --json: %+v", st)
	}
}

// The systemd units that come with sluice allow what interception takes; the
// daemon's alone does not, which the daemon says.
func TestInterceptAsUnits(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, h := range s.Hosts() {
		s.observerUnit(h)
	}
	c := s.interceptConf()
	c.under = asUnit(t, "sluice.service", "sluice-intercept.conf")
	a, b := s.both(c)
	up := asUnit(t, "sluice-intercept.service")
	for _, d := range []*daemon{a, b} {
		args := append(up[1:], s.command, "intercept", "up", "--config", d.config)
		if out, errs, status := s.run(d.host, up[0], args...); status != 0 {
			t.Fatalf("up: %s%s", out, errs)
		}
		defer d.intercept("down")
	}
	g := s.guest(lab.GuestSpec{})
	s.watched(func() {
		s.virshMigrates(s.A, g, s.tlsURI("mover"), "tcp:host-b").moves()
	}).secret(g, 63<<20)
	s.onlyOn(g, s.B)

	a.killed()
	less := asUnit(t, "sluice.service")
	_, errs, status := s.run(s.A, less[0], append(less[1:], s.command, "serve", "--config", a.config)...)
	if status != 1 {
		t.Errorf("without CAP_NET_ADMIN the daemon ends with status %d", status)
	}
	says(t, "sluice serve", errs, "[intercept]", "CAP_NET_ADMIN")
}

// `sluice check` finds what the kernel lacks, and `sluice status` what the daemon does not fit.
func TestInterceptChecked(t *testing.T) {
	t.Parallel()
	s, a, _ := interceptedHosts(t)
	check := func(want int, words ...string) {
		t.Helper()
		out, errs, status := s.run(s.A, s.command, "check")
		if status != want {
			t.Errorf("sluice check: status %d, %s%s", status, out, errs)
		}
		says(t, "sluice check", strings.Join(strings.Fields(out), " "), words...)
	}
	check(0, "ok interception ports 49152-49215 are closed to other hosts, and connections to those of 2 addresses are redirected to sluice")
	if out, errs, status := s.run(s.A, "nft", "flush", "ruleset"); status != 0 {
		t.Fatalf("%s%s", out, errs)
	}
	check(1, "error interception", "interception is off", "sluice intercept up")
	out, _ := a.command("status").Output()
	says(t, "sluice status", string(out), "interception is off")
	a.metrics("sluice_interception 0")

	other := s.write("other.toml", []byte(strings.Replace(a.read(), "[intercept]", "[intercept]\nport = 16517", 1)))
	if out, errs, status := s.run(s.A, s.command, "intercept", "up", "--config", other); status != 0 {
		t.Fatalf("%s%s", out, errs)
	}
	check(1, "error interception", "the kernel differs from the configuration (intercept.port is 16516)")
	out, _ = a.command("status").Output()
	says(t, "sluice status", string(out), "the kernel redirects connections to port 16517, but this daemon accepts them at 16516")
	a.metrics("sluice_interception 0")
}
