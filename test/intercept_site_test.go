package test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/proxy/control"
)

// The ports that libvirt takes for migrations and NBD.
const firstPort, lastPort = 49152, 49215

// interceptConf is the configuration of both hosts: who migrates comes by
// libvirt's own URIs, and says tcp:HOST.
func (s *site) interceptConf() conf {
	peers := clients
	for _, h := range s.Hosts() {
		peers += fmt.Sprintf("[peers.%s]\nintercept = [%q, %q]\n", h.Name, h.Name, h.Addr6)
	}
	return conf{
		top:   "metrics = \"127.0.0.1:16515\"\n",
		peers: strings.TrimPrefix(peers, "[peers.host-a]\n") + "[intercept]\n",
	}
}

// interceptedHosts are a daemon on each host, with interception on.
func interceptedHosts(t *testing.T) (s *site, a, b *daemon) {
	t.Helper()
	needs.Program(t, "nft")
	s = newSite(t)
	a, b = s.both(s.interceptConf())
	for _, d := range []*daemon{a, b} {
		d.intercept("up")
		t.Cleanup(func() { d.intercept("down") })
	}
	return s, a, b
}

// intercept runs `sluice intercept` and returns what it printed. It may be
// called after the test has ended.
func (d *daemon) intercept(args ...string) string {
	d.s.t.Helper()
	if args[0] != "down" {
		args = append(args, "--config", d.config)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := d.host.Command(ctx, d.s.command, append([]string{"intercept"}, args...)...).CombinedOutput()
	if err != nil {
		d.s.t.Errorf("sluice intercept %s on %s: %v\n%s", args, d.host.Name, err, out)
	}
	return string(out)
}

// watched runs f and returns what has passed by the link meanwhile.
func (s *site) watched(f func()) *traffic {
	s.t.Helper()
	c, err := s.A.Capture(s.ctx)
	s.check(err)
	f()
	packets, err := c.Stop()
	s.check(err)
	return &traffic{s, packets}
}

type traffic struct {
	s       *site
	packets []lab.Packet
}

// has counts the guest's pages of which a part is to be seen on the link.
func (w *traffic) has(g *lab.Guest) int {
	return g.Seen(w.packets)
}

// secret checks that the guest's memory, of which at least so many bytes have
// passed by, did so within TLS and by sluice's port alone.
func (w *traffic) secret(g *lab.Guest, least int) {
	w.s.t.Helper()
	if n := w.has(g); n > 0 {
		w.s.t.Errorf("%d of 64 pages of the guest's memory can be read on the link", n)
	}
	carried, begun := 0, make(map[int]bool)
	for _, p := range w.packets {
		if len(p.Payload) > 0 && (ofMigration(p.From, p.To) || ofMigration(p.To, p.From)) {
			w.s.t.Fatalf("%d bytes went from port %d to port %d", len(p.Payload), p.From, p.To)
		}
		if p.To != 16514 || len(p.Payload) == 0 {
			continue
		}
		carried += len(p.Payload)
		if !begun[p.From] && !bytes.HasPrefix(p.Payload, []byte{22, 3, 1}) { // TLS's handshake
			w.s.t.Errorf("a connection to sluice begins with % x", p.Payload[:min(16, len(p.Payload))])
		}
		begun[p.From] = true
	}
	if carried < least {
		w.s.t.Errorf("%d bytes came to sluice, want %d", carried, least)
	}
}

// libvirtTLS is the port of libvirtd's own TLS, where it has one.
const libvirtTLS = 16600

// ofMigration says whether port may be that of a migration. The kernel gives
// ports of that range to other connections, too.
func ofMigration(port, other int) bool {
	return port >= firstPort && port <= lastPort && !slices.Contains([]int{16509, 16514, libvirtTLS}, other)
}

// carried checks what both daemons say of the connections of a migration, the
// last of which has ended, and returns how many there were.
func (d *daemon) carried(to *daemon) (n int) {
	d.s.t.Helper()
	for _, one := range []*daemon{d, to} {
		one.ended()
		n = 0
		for _, e := range one.status().Ended {
			if e.Kind != "intercept" {
				continue
			}
			n++
			if e.Cause != "" || e.TLS != "TLS1.3" || e.Memory != "sluice" || len(e.Channels) != 1 {
				d.s.t.Errorf("%s shows the connection as %+v", one.host.Name, e)
			}
		}
	}
	return n
}

// interceptedHalfway starts a migration and returns when a part of memory has
// gone through the daemon.
func (s *site) interceptedHalfway(a *daemon, g *lab.Guest) *virshRun {
	s.t.Helper()
	v := s.virshMigrates(s.A, g, "qemu+tcp://host-b/system", "tcp:host-b", "--bandwidth", "8")
	s.wait("memory flows", time.Minute, func() bool {
		if !v.running() {
			s.t.Fatalf("virsh migrate ended before: %s", v.errs.String())
		}
		return slices.ContainsFunc(a.status().Sessions, func(e control.SessionStatus) bool { return e.Sent > 2<<20 })
	})
	return v
}

// read is the daemon's configuration.
func (d *daemon) read() string {
	d.s.t.Helper()
	raw, err := os.ReadFile(d.config)
	d.s.check(err)
	return string(raw)
}
