package test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// follow starts another process of the same sluice, which takes over from this one. At rest it has to
// hold what this one held when it was new: it may never be idle before that.
func (d *daemon) follow() *daemon {
	d.s.t.Helper()
	later := &daemon{s: d.s, host: d.host, config: d.config, under: d.under, more: d.more, logTo: d.logTo + "+"}
	d.s.daemons = append(d.s.daemons, later)
	later.idle = d.idle
	later.idle.Descriptors = slices.Clone(d.idle.Descriptors)
	for i, path := range later.idle.Descriptors {
		if path == d.logTo {
			later.idle.Descriptors[i] = later.logTo
		}
	}
	later.launch("--follow")
	d.logged("another sluice serves from now on")
	return later
}

// finished waits until an earlier daemon has ended by itself, and the later one knows.
func (d *daemon) finished(later *daemon) {
	d.s.t.Helper()
	if status := d.waitExit(time.Minute); status != 0 {
		d.s.t.Errorf("the earlier sluice on %s ended with status %d", d.host.Name, status)
	}
	d.s.wait("the later sluice notices", 10*time.Second, func() bool { return len(later.status().Earlier) == 0 })
}

// configured is the daemon's configuration.
func (d *daemon) configured() []byte {
	d.s.t.Helper()
	raw, err := os.ReadFile(d.config)
	d.s.check(err)
	return raw
}

// prober connects to all that a daemon listens at, again and again: nothing may be refused.
type prober struct {
	stop func()
	over chan struct{}
	made int
	errs []error
}

func (d *daemon) probe() *prober {
	ctx, cancel := context.WithCancel(d.s.ctx)
	p := &prober{stop: cancel, over: make(chan struct{})}
	var all sync.WaitGroup
	var mu sync.Mutex
	for what, once := range map[string]func() error{
		"control.sock": func() error {
			_, err := control.New(d.host.Path(control.DefaultSocket)).Status(d.s.ctx)
			return err
		},
		"libvirt.sock": func() error {
			c, err := net.DialUnix("unix", nil, &net.UnixAddr{Net: "unix", Name: d.host.Path("/run/sluice/peers/" + d.host.Peer().Name + "/libvirt.sock")})
			if err != nil {
				return err
			}
			defer c.Close()
			// Each takes two handshakes and a connection with a libvirtd, which may be frozen: the next
			// comes once this is over, or a while later, so that they do not pile up.
			c.SetDeadline(time.Now().Add(2 * time.Second))
			c.CloseWrite()
			io.Copy(io.Discard, c)
			return nil
		},
		"web.sock": func() error {
			transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var dialer net.Dialer
				return dialer.DialContext(ctx, "unix", d.host.Path("/run/sluice/web.sock"))
			}}
			answer, err := (&http.Client{Transport: transport}).Get("http://localhost/")
			if err != nil {
				return err
			}
			defer answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				return errors.New(answer.Status)
			}
			_, err = io.Copy(io.Discard, answer.Body)
			return err
		},
		// From the peer, without a certificate: what answers is a server of TLS.
		"port": func() error {
			c, err := d.host.Peer().Dial(d.s.ctx, "tcp", d.host.Addr+":16514")
			if err != nil {
				return err
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(10 * time.Second))
			return tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"sluice/1"}}).Handshake()
		},
	} {
		all.Go(func() {
			for ctx.Err() == nil {
				err := once()
				mu.Lock()
				p.made++
				if err != nil {
					p.errs = append(p.errs, fmt.Errorf("%s of %s: %w", what, d.host.Name, err))
				}
				mu.Unlock()
				select {
				case <-ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
			}
		})
	}
	go func() {
		all.Wait()
		close(p.over)
	}()
	return p
}

// ends stops the prober, which must not have been refused.
func (p *prober) ends(t *testing.T) {
	t.Helper()
	p.stop()
	<-p.over
	if len(p.errs) > 0 {
		t.Errorf("of %d connections %d failed: %v", p.made, len(p.errs), errors.Join(p.errs[:min(len(p.errs), 5)]...))
	}
	if p.made < 100 {
		t.Errorf("only %d connections were tried", p.made)
	}
}

// A sluice is replaced at the source or at the destination, while three migrations run:
// one each way, and one of a stock client whose Finish is under way. None notices, nobody is
// refused, and others begin at once at the process that has followed.
func TestUpgrade(t *testing.T) {
	for _, c := range []struct {
		name                string
		source, destination bool
	}{{"source", true, false}, {"destination", false, true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			a, b := s.both(conf{limits: defaults})
			away, back := s.guest(lab.GuestSpec{Name: "away", MemoryMiB: 256}), s.guestOn(s.B, lab.GuestSpec{Name: "back", MemoryMiB: 256})
			stock, next := s.guest(lab.GuestSpec{MemoryMiB: 32}), s.guest(lab.GuestSpec{Name: "next", MemoryMiB: 16})
			there, here := a.migrate(away.Name, "--bandwidth", "5"), b.migrate(back.Name, "--bandwidth", "5")
			for _, m := range []*migration{there, here} {
				m.until("memory flows", func(p control.Progress) bool { return p.Phase == control.PhaseMemory && p.Carried > 4<<20 })
			}
			v := a.virshStart(stock, "--p2p", "--bandwidth", "32")
			v.flows(a, stock)
			thaw := s.freezeLibvirtd(s.B)
			s.wait("the guest is held at its source", time.Minute, func() bool { return len(a.status().Leaving) > 0 })
			b.inFinish()

			probes := []*prober{a.probe(), b.probe()}
			a2, b2 := a, b
			if c.source {
				a2 = a.follow()
			}
			if c.destination {
				b2 = b.follow()
			}
			if c.destination && !strings.Contains(fmt.Sprint(b2.status().Sessions), stock.Name) {
				t.Errorf("status does not show what the earlier process does: %+v", b2.status())
			}
			thaw()
			v.moves()
			if !there.running() || !here.running() {
				t.Fatal("the long migrations are over already")
			}
			moved(a2.migrate(next.Name), next, a2, b2)
			if !there.running() || !here.running() {
				t.Error("the migration that began last has waited for the others")
			}
			for g, h := range map[*lab.Guest]*lab.Host{away: s.A, back: s.B} { // they have lasted long enough
				h.Virsh(s.ctx, "migrate-setspeed", g.Name, "1000") // an error: it has just ended
			}
			there.want(control.Moved, 0)
			here.want(control.Moved, 0)
			for _, d := range []*daemon{a2, b2} { // also of sessions that the earlier process has
				d.became(away, control.Moved)
				d.became(stock, control.Moved)
			}
			if c.source {
				a.finished(a2)
			}
			if c.destination {
				b.finished(b2)
			}
			for _, p := range probes {
				p.ends(t)
			}
			for _, g := range []*lab.Guest{away, stock, next} {
				s.check(s.CheckOnlyOn(s.ctx, g, s.B))
			}
			s.onlyOn(back, s.A)
		})
	}
}

// A client that was connected when the destination's sluice was replaced begins a migration
// afterwards: its session and the channels for the data are made by new connections, which must
// reach the process that has its libvirt connection. With TLS and in clear.
func TestUpgradeBeforePrepare(t *testing.T) {
	for name, top := range map[string]string{"TLS": "", "clear": "require_secure = false\ntls = \"no\"\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			a, b := s.both(conf{top: top})
			g := s.guest(lab.GuestSpec{})
			src, dst := s.libvirtAt(s.A, "/run/libvirt/libvirt-sock"), s.libvirtAt(s.A, peerSocket)
			b2 := b.follow()
			s.check(s.movesByHand(src, dst, g))
			s.check(src.Disconnect())
			s.check(dst.Disconnect())
			b.finished(b2)
			s.onlyOn(g, s.B)
			_ = a
		})
	}
}

// movesByHand makes libvirt's calls as virsh does that speaks with both hosts.
func (s *site) movesByHand(src, dst *libvirt.Libvirt, g *lab.Guest) error {
	const flags = uint32(libvirt.MigrateLive)
	dom, err := src.DomainLookupByName(g.Name)
	if err != nil {
		return err
	}
	cookie, xml, err := src.DomainMigrateBegin3Params(dom, nil, flags)
	if err != nil {
		return err
	}
	cookie, uri, err := dst.DomainMigratePrepare3Params([]libvirt.TypedParam{
		{Field: libvirt.MigrateParamDestXML, Value: *libvirt.NewTypedParamValueString(xml)}}, cookie, flags)
	if err != nil {
		return err
	}
	cookie, err = src.DomainMigratePerform3Params(dom, nil, []libvirt.TypedParam{
		{Field: libvirt.MigrateParamURI, Value: *libvirt.NewTypedParamValueString(uri[0])}}, cookie, libvirt.MigrateLive)
	if err != nil {
		return err
	}
	_, cookie, err = dst.DomainMigrateFinish3Params([]libvirt.TypedParam{
		{Field: libvirt.MigrateParamDestName, Value: *libvirt.NewTypedParamValueString(g.Name)}}, cookie, flags, 0)
	if err != nil {
		return err
	}
	return src.DomainMigrateConfirm3Params(dom, nil, cookie, flags, 0)
}

// A process that can't start leaves the one that serves alone, and both say so. One that is killed
// after it has taken over is followed by the next, and so is one that still has sessions.
func TestUpgradeFails(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{limits: defaults})
	g := s.guest(lab.GuestSpec{MemoryMiB: 128})
	m := a.migrate(g.Name, "--bandwidth", "8")
	m.halfway()

	// The port of its metrics is not there: it fails after it has the sockets.
	bad := s.write("bad.toml", append([]byte("metrics = \"192.0.2.99:9\"\n"), b.configured()...))
	out, errs, status := s.run(s.B, s.command, "serve", "--follow", "--config", bad)
	if status != 1 || !strings.Contains(errs, "listen for Prometheus at 192.0.2.99:9") {
		t.Errorf("exit status %d: %s%s", status, out, errs)
	}
	b.logged("has failed to start", "this one goes on")
	s.virsh(s.A, "-c", a.uri(), "list")

	second := b.follow()
	second.killed()
	b.logged("the sluice that followed this one has ended")
	third := b.follow()
	sockets, err := os.ReadDir(b.host.Path("/run/sluice/processes"))
	s.check(err)
	if len(sockets) != 4 { // two of each
		t.Errorf("of two processes that live there are these sockets: %v", sockets)
	}
	fourth := third.follow()
	if n := len(fourth.status().Earlier); n != 2 {
		t.Errorf("status shows %d earlier processes", n)
	}
	m.want(control.Moved, 0)
	b.finished(fourth)
	third.finished(fourth)
	s.onlyOn(g, s.B)
}

// One that has been told to stop, and has a migration yet, can still be followed: it leaves the
// other's sockets alone when it ends.
func TestUpgradeDraining(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{limits: defaults})
	g, next := s.guest(lab.GuestSpec{MemoryMiB: 128}), s.guest(lab.GuestSpec{Name: "next", MemoryMiB: 16})
	m := a.migrate(g.Name, "--bandwidth", "4")
	m.until("memory flows", func(p control.Progress) bool { return p.Phase == control.PhaseMemory && p.Carried > 1<<20 })
	b.signal(syscall.SIGTERM)
	b.logged("stopping: no new sessions")
	later := b.follow()
	moved(a.migrate(next.Name), next, a, later)
	m.want(control.Moved, 0)
	b.finished(later)
	s.virsh(s.A, "-c", a.uri(), "list")
	s.onlyOn(g, s.B)
}

// The source's earlier process is killed while it holds a guest of a stock client: the later one
// takes the guest up.
func TestUpgradeKilled(t *testing.T) {
	t.Parallel()
	st := newSite(t).inFinish(lab.GuestSpec{}, "--p2p")
	a2 := st.a.follow()
	if n := len(a2.status().Leaving); n != 1 {
		t.Errorf("status shows %d guests that leave", n)
	}
	st.a.signal(syscall.SIGKILL)
	st.a.waitExit(10 * time.Second)
	a2.logged("an earlier sluice has left a guest")
	st.takenOver()
	st.still(3 * time.Second)
	st.v.ends()
	st.wait("the guest is gone from host-a", 30*time.Second, func() bool { return len(a2.status().Leaving) == 0 })
	// What was not known of the killed one's session is settled.
	if r := a2.became(st.g, control.Moved); r.Code != control.CodeKilled || len(r.Notes) == 0 {
		t.Errorf("history has %+v", r)
	}
	st.onlyOn(st.g, st.B)
}
