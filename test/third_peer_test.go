package test

import (
	"strings"
	"testing"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/lab"
)

// thirdPeer is a sluice named host-c, on host-a, which host-b lets migrate.
func (s *site) thirdPeer() (dst *libvirt.Libvirt, end func()) {
	s.t.Helper()
	const run = "/run/sluice-c"
	c := s.start(s.A, conf{name: "host-c", top: "run_dir = '" + run + "'\nlisten = ':16515'\n", peers: "[peers.host-b]\n"})
	return s.libvirtAt(s.A, run+"/peers/host-b/libvirt.sock"), func() {
		c.killed()
		s.daemons = s.daemons[:len(s.daemons)-1]
	}
}

// prepare asks for a guest by the calls of a client that runs the migration itself.
func prepare(dst *libvirt.Libvirt, name, xml string, cookie []byte, flags libvirt.DomainMigrateFlags) error {
	_, _, err := dst.DomainMigratePrepare3Params([]libvirt.TypedParam{
		{Field: libvirt.MigrateParamDestName, Value: *libvirt.NewTypedParamValueString(name)},
		{Field: libvirt.MigrateParamDestXML, Value: *libvirt.NewTypedParamValueString(xml)},
	}, cookie, uint32(flags))
	return err
}

// A peer that may migrate has no way to another peer's guest: not by a decoy of its name or its
// UUID while it is on its way, and not by what is left of a decoy that it brought before.
func TestThirdPeer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.start(s.A, conf{})
	s.start(s.B, conf{peers: "[peers.host-a]\n[peers.host-c]\naddress = 'host-a:16515'\n"})
	g, bait := s.guest(lab.GuestSpec{Name: "g"}), s.guest(lab.GuestSpec{Name: "bait"})
	third, end := s.thirdPeer()
	src := s.libvirtAt(s.A, "/run/libvirt/libvirt-sock")

	uuid := func(g *lab.Guest) string { return strings.TrimSpace(s.virsh(s.A, "domuuid", g.Name)) }

	// host-c brings a guest of its own under the victim's name, and lets it die.
	dom, err := src.DomainLookupByName(bait.Name)
	s.check(err)
	cookie, xml, err := src.DomainMigrateBegin3Params(dom, nil, uint32(libvirt.MigrateLive))
	s.check(err)
	decoy := strings.Replace(xml, "<name>bait</name>", "<name>g</name>", 1)
	decoyCookie := []byte(strings.Replace(string(cookie), "<name>bait</name>", "<name>g</name>", 1))
	s.check(prepare(third, g.Name, decoy, decoyCookie, libvirt.MigrateLive))
	m := a.migrate(g.Name)
	r := m.want("failed", 1)
	says(t, "while a decoy is on its way", r.Message, "goes on running on host-a", "guest g", "is on its way to host-b already: host-c brings it")
	s.killQEMU(g, s.B)
	s.wait("libvirt on host-b notices that the decoy is dead", 20*time.Second, func() bool {
		left, err := s.B.Virsh(s.ctx, "list", "--name")
		return err == nil && left == ""
	})

	// The victim is on its way, and host-c can neither finish it nor bring another of its name or
	// UUID.
	s.check(s.SlowLink(20 << 20))
	m = a.migrate(g.Name)
	m.halfway()
	_, _, err = third.DomainMigrateFinish3Params([]libvirt.TypedParam{
		{Field: libvirt.MigrateParamDestName, Value: *libvirt.NewTypedParamValueString(g.Name)},
	}, nil, uint32(libvirt.MigrateLive), 1) // called off: another would not get past host-c's own fence
	if err == nil {
		t.Fatal("host-c has finished host-a's guest")
	}
	says(t, "Finish", err.Error(), "guest g, as it was prepared, is no longer on host-b", "denied")
	for _, c := range []struct{ name, xml string }{
		{g.Name, decoy},
		{"other", strings.Replace(strings.Replace(xml, uuid(bait), uuid(g), 1), "<name>bait</name>", "<name>other</name>", 1)},
	} {
		err := prepare(third, c.name, c.xml, decoyCookie, libvirt.MigrateLive)
		if err == nil {
			t.Fatalf("host-c has prepared %s", c.name)
		}
		says(t, "Prepare of "+c.name, err.Error(), "host-a brings it")
	}
	s.check(s.SlowLink(0))
	m.want("moved", 0)
	end()
	s.onlyOn(g, s.B)
	s.onlyOn(bait, s.A)
	s.nothingLeft()
}
