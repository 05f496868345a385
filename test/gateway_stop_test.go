package test

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// inFinish waits until the daemon has a client's migration that is being taken over, and of which
// all data has gone by: Finish has a channel of its own, and may be ahead of it.
func (d *daemon) inFinish() {
	d.s.t.Helper()
	d.s.wait("Finish is asked for, after all data", 30*time.Second, func() bool {
		for _, e := range d.status().Sessions {
			if e.Kind == "steered" && e.Phase == control.PhaseFinish {
				return !slices.ContainsFunc(e.Channels, func(c control.ChannelStatus) bool { return c.Kind == "memory" && c.Open })
			}
		}
		return false
	})
}

// Daemons that are told to stop, twice, let libvirt answer a Finish first: else
// the guest would go on at the source, and run at the destination too.
func TestVirshStopInFinish(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	v := a.virshStart(g, "--p2p", "--bandwidth", "32")
	v.flows(a, g)
	thaw := s.freezeLibvirtd(s.B)
	a.inFinish()
	b.inFinish()
	for _, d := range []*daemon{b, a} {
		d.signal(syscall.SIGTERM)
		d.logged("no new sessions")
		d.signal(syscall.SIGTERM)
	}
	if !a.alive() || !b.alive() || !v.running() {
		t.Error("nobody waits for the answer to Finish")
	}
	thaw()
	v.moves()
	a.stopped()
	b.stopped()
	s.onlyOn(g, s.B)
}

// The same of a client without a sluice, whose migration status shows too.
func TestTLSStopInFinish(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.start(s.B, conf{peers: clients})
	s.qemuCertificates()
	g := s.guest(lab.GuestSpec{})
	v := s.virshStart(s.A, "migrate", "--live", "--p2p", "--tls", "--bandwidth", "32", g.Name, s.tlsURI("mover"))
	s.wait("memory flows", 30*time.Second, func() bool {
		return slices.ContainsFunc(b.status().Sessions, func(e control.SessionStatus) bool { return e.Phase == control.PhaseMemory })
	})
	shown := map[string]string{}
	for _, e := range b.status().Sessions {
		shown[e.Kind] = e.Peer + "/" + e.Guest + "/" + e.Memory
	}
	if shown["client"] != "movers//" || shown["steered"] != "movers/g/QEMU's own TLS" {
		t.Errorf("status shows %q", shown)
	}
	thaw := s.freezeLibvirtd(s.B)
	b.inFinish()
	b.signal(syscall.SIGTERM)
	b.logged("no new sessions")
	b.signal(syscall.SIGTERM)
	if !v.running() || !b.alive() {
		t.Error("nobody waits for the answer to Finish")
	}
	thaw()
	v.moves()
	b.stopped()
	s.onlyOn(g, s.B)
}

// A drain ends libvirt clients that do nothing, waits for those that migrate,
// and has words for those that come.
func TestVirshDrain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{peers: "[peers.host-a]\n[peers.host-b]\n[clients.movers]\nnames = [\"mover\"]\naccess = \"migrate\"\n"})
	g := s.guest(lab.GuestSpec{})
	other := s.guest(lab.GuestSpec{Name: "other", MemoryMiB: 16})
	idle := s.libvirtAt(s.A, peerSocket)
	_, err := idle.ConnectGetLibVersion()
	s.check(err)
	v := a.virshStart(g, "--p2p", "--bandwidth", "16")
	v.flows(a, g)
	b.signal(syscall.SIGTERM)
	b.logged("no new sessions")
	s.wait("the idle client's connection ends", 10*time.Second, func() bool {
		_, err := idle.ConnectGetLibVersion()
		return err != nil
	})
	for _, uri := range []string{a.uri(), s.tlsURI("mover")} {
		s.virshFails(s.A, []string{"-c", uri, "list"}, "is stopping and accepts no new sessions")
	}
	a.virshStart(other, "--p2p").fails("is stopping and accepts no new sessions")
	v.moves()
	b.stopped()
	a.signal(syscall.SIGTERM)
	a.stopped()
	s.check(s.CheckOnlyOn(s.ctx, g, s.B))
	s.onlyOn(other, s.A)
}

// Who waits for an answer when the daemon stops hears why there is none.
func TestStopWords(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	v := s.libvirtAt(s.A, peerSocket)
	before := a.live().Sent
	thaw := s.freezeLibvirtd(s.B)
	answer := make(chan error)
	go func() {
		_, err := v.ConnectGetLibVersion()
		answer <- err
	}()
	s.wait("the call is under way", 10*time.Second, func() bool { return a.live().Sent > before })
	b.signal(syscall.SIGTERM)
	b.logged("no new sessions")
	b.signal(syscall.SIGTERM)
	if err := <-answer; err == nil || !strings.Contains(err.Error(), "the daemon is stopping") {
		t.Errorf("the caller is told %v", err)
	}
	thaw()
	b.stopped()
}

// A source whose guest's data no longer flows, and that does not give it up,
// loses its connection, and the half-made guest goes with it.
func TestSourceNeverGivesUp(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.start(s.A, conf{limits: "session_bytes = 8388608\n"})
	b := s.start(s.B, conf{limits: patience + "give_up_timeout = \"1s\"\n"})
	g := s.guest(lab.GuestSpec{})
	src, dst := s.libvirtAt(s.A, "/run/libvirt/libvirt-sock"), s.libvirtAt(s.A, peerSocket)
	dom, err := src.DomainLookupByName(g.Name)
	s.check(err)
	flags := uint32(libvirt.MigrateLive)
	cookie, xml, err := src.DomainMigrateBegin3Params(dom, nil, flags)
	s.check(err)
	cookie, uri, err := dst.DomainMigratePrepare3Params([]libvirt.TypedParam{
		{Field: libvirt.MigrateParamDestXML, Value: *libvirt.NewTypedParamValueString(xml)}}, cookie, flags)
	s.check(err)
	_, err = src.DomainMigratePerform3Params(dom, nil, []libvirt.TypedParam{
		{Field: libvirt.MigrateParamURI, Value: *libvirt.NewTypedParamValueString(uri[0])}}, cookie, libvirt.MigrateLive)
	if err == nil {
		t.Fatal("memory went beyond the limit")
	}
	begun := time.Now()
	b.logged("and its source does not give it up")
	s.wait("the connection ends", 10*time.Second, func() bool {
		_, err := dst.ConnectGetLibVersion()
		return err != nil
	})
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("after %v", took)
	}
	b.ended()
	for _, e := range b.status().Ended {
		words := "limits.session_bytes"
		if e.Kind == "libvirt" {
			words = "its source does not give it up"
		}
		says(t, "host-b", e.Cause, words)
	}
	a.ended()
	s.check(src.Disconnect())
	s.onlyOn(g, s.A)
}
