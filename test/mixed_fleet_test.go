package test

import (
	"encoding/json"
	"syscall"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// fleet is what `sluice status --peers --json` shows, by peer.
func (d *daemon) fleet() map[string]control.PeerView {
	d.s.t.Helper()
	out, errs, status := d.s.run(d.host, d.s.command, "status", "--peers", "--json")
	if status != 0 {
		d.s.t.Fatalf("sluice status --peers: %s", errs)
	}
	var shown struct {
		Host  string
		Peers []control.PeerView
	}
	d.s.check(json.Unmarshal([]byte(out), &shown))
	all := make(map[string]control.PeerView)
	for _, p := range shown.Peers {
		all[p.Name] = p
	}
	return all
}

// A fleet that is moved host by host is to be seen at each step.
func TestMixedFleet(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.withoutSluice(s.B, libvirtTLSPort, "host-b")
	s.qemuCertificates()
	a := s.start(s.A, conf{peers: bareTable(s.B, "native-tls") +
		"[peers.strict]\naddress = \"host-b\"\nnames = [\"strict\", \"*-b\"]\nlibvirt_uri = \"qemu+tls://host-b:16520/system\"\n" +
		"[peers.host-c]\naddress = \"192.0.2.2:17000\"\nwithout_sluice = \"plain\"\n"})

	fleet := a.fleet()
	if b := fleet["host-b"]; b.Found != control.PeerLibvirt || b.Way != "native-tls" || b.Libvirt == "" || b.Offers != nil {
		t.Errorf("host-b without a sluice is shown as %+v", b)
	}
	if p := fleet["strict"]; p.Found != control.PeerLibvirt || p.Way != control.WayNone || p.Code != "port-closed" {
		t.Errorf("host-b without permission is shown as %+v", p)
	}
	says(t, "the text", fleet["strict"].Text, "no sluice, libvirt ", "peers.strict.without_sluice does not allow")
	if c := fleet["host-c"]; c.Found != control.PeerNothing || c.Way != control.WayNone {
		t.Errorf("host-c is shown as %+v", c)
	}
	says(t, "the text", fleet["host-c"].Text, "nothing listens at 192.0.2.2:17000", "libvirtd: ", "qemu+tls://192.0.2.2/system")
	out, _, status := s.run(s.A, s.command, "check", "--all-peers")
	if status != 1 { // of strict and host-c
		t.Errorf("sluice check --all-peers ends with status %d:\n%s", status, out)
	}
	says(t, "sluice check", out, "and no sluice: guests go there by QEMU's own TLS", "peers.strict.without_sluice", "no guest can go there or come")
	if out, _, status = s.run(s.A, s.command, "check", "--peer", "host-b"); status != 0 {
		t.Errorf("sluice check --peer host-b ends with status %d:\n%s", status, out)
	}
	if out, _, status = s.run(s.A, s.command, "check", "--peer", "host-b", "--config", a.config); status != 0 {
		t.Errorf("sluice check without the daemon ends with status %d:\n%s", status, out)
	}

	s.virshFails(s.A, []string{"-c", a.uri(), "list"}, "nothing listens at host-b", "libvirt's own URI (qemu+tls://host-b:16520/system)", "`sluice migrate GUEST host-b`")

	b := s.start(s.B, conf{peers: bareTable(s.A, "plain")})
	p := a.fleet()["host-b"]
	if p.Found != control.PeerSluice || p.Way != control.WaySluice || p.Offers == nil {
		t.Fatalf("host-b with a sluice is shown as %+v", p)
	}
	o := p.Offers
	if o.Protocol != "sluice/1" || o.Sluice == "" || o.Libvirt == "" || o.QEMU == "" || len(o.Paths) < 2 || o.Priority == "" || o.TLS != "yes" || !o.RequireSecure ||
		o.Access != "migrate" || o.WithoutSluice != "plain" || o.Interception != "none" {
		t.Errorf("host-b offers %+v", o)
	}
	table, _, _ := s.run(s.A, s.command, "status", "--peers")
	says(t, "sluice status --peers", table, "GUESTS GO BY", "here native-tls, there plain", "records crypto/tls")
	g := s.guest(lab.GuestSpec{})
	moved(a.migrate(g.Name), g, a, b)

	b.signal(syscall.SIGTERM)
	b.stopped()
	if p := a.fleet()["host-b"]; p.Way != "native-tls" {
		t.Errorf("host-b whose sluice has ended is shown as %+v", p)
	}
	s.check(g.Destroy(s.ctx)) // a libvirtd that starts would still be finding it while the test ends it
	s.check(s.B.KillLibvirtd(s.ctx, syscall.SIGTERM))
	if p := a.fleet()["host-b"]; p.Found != control.PeerNothing || p.Way != control.WayNone || p.Code != "port-closed" {
		t.Errorf("host-b with nothing is shown as %+v", p)
	}
	s.check(s.B.StartLibvirtd(s.ctx))
}

// A sluice that has been there, and is not to be reached, is no leave to go in
// clear, before somebody says so.
func TestMixedFleetPlainEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.withoutSluice(s.B, libvirtTLSPort, "host-b")
	table := bareTable(s.B, "plain")
	a := s.start(s.A, conf{peers: table})
	if p := a.fleet()["host-b"]; p.Way != "plain" {
		t.Errorf("host-b without a sluice is shown as %+v", p)
	}
	b := s.start(s.B, conf{})
	if p := a.fleet()["host-b"]; p.Way != control.WaySluice {
		t.Errorf("host-b with a sluice is shown as %+v", p)
	}
	b.signal(syscall.SIGTERM)
	b.stopped()
	p := a.fleet()["host-b"]
	if p.Found != control.PeerLibvirt || p.Way != control.WayNone || p.Code != "port-closed" {
		t.Errorf("host-b whose sluice has ended is shown as %+v", p)
	}
	says(t, "the text", p.Text, "nothing goes or comes in clear")
	g := s.guest(lab.GuestSpec{})
	out, errs, status := s.run(s.A, s.command, "migrate", g.Name, "host-b")
	if status == 0 {
		t.Fatalf("it moved: %s", out)
	}
	says(t, "sluice migrate", errs, "a sluice of host-b's has spoken", "restart sluice on host-a")
	s.onlyOn(g, s.A)

	a.signal(syscall.SIGTERM)
	a.stopped()
	a = s.start(s.A, conf{peers: table})
	a.migrate(g.Name).want(control.Moved, 0)
	s.onlyOn(g, s.B)
}
