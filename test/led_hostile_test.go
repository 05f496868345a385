package test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
)

// A peer that has a guest led to itself, without libvirt sending it there, can end neither the guest
// nor its migration to another host, and does not keep that from beginning.
func TestLedHostile(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.start(s.B, conf{peers: "[peers.host-a]\n[peers.host-c]\naddress = 'host-a:16515'\n"})
	s.start(s.A, conf{})
	g := s.guestOn(s.B, lab.GuestSpec{})
	uuid := strings.TrimSpace(s.virsh(s.B, "domuuid", g.Name))
	o := s.outsider("host-c")
	o.takes()

	// It is as after a migration to host-c that was cancelled, which leaves host-c the session.
	lead, _ := o.leads(b, uuid)
	s.virsh(s.B, "suspend", g.Name)
	err := lead.Call(s.ctx, "depart", map[string]any{"flags": 0}, nil)
	if err == nil {
		t.Error("a paused guest is held for a peer to which it does not go")
	} else {
		says(t, "depart", err.Error(), "libvirt has given up the migration")
	}
	if err := lead.Call(s.ctx, "settle", map[string]any{"runs": true}, nil); err == nil {
		t.Error("a guest that does not go to a peer is said to run there")
	}
	if err := lead.Call(s.ctx, "read", nil, nil); err == nil {
		t.Error("libvirt is said to have read that such a guest runs there")
	}
	s.virsh(s.B, "resume", g.Name)
	lead.Finish()
	lead.Wait()

	lead, id := o.leads(b, uuid)
	s.check(s.SlowLink(20 << 20))
	m := b.migrate(g.Name)
	m.halfway()
	s.check(o.opener(nil).Ask(s.ctx, id, "cancel", map[string]any{"session": id}, nil))
	s.check(s.SlowLink(0))
	m.want(control.Moved, 0)
	lead.Finish()
	lead.Wait()
	s.onlyOn(g, s.A)
}

// leads has host-b bring a guest, and connects where QEMU would, as root may.
func (o *outsider) leads(b *daemon, uuid string) (lead *stream.Session, id string) {
	s := o.s
	s.t.Helper()
	lead, err := o.opener(nil).Open(s.ctx, stream.Info{ID: stream.NewID(), Work: session.WorkLead, Guest: "g", UUID: uuid})
	s.check(err)
	id = stream.NewID()
	var offer struct {
		URI string `msgpack:"uri"`
	}
	s.check(lead.Call(s.ctx, "offer", map[string]any{"session": id, "flags": 1, "client": "", "server": ""}, &offer))
	u, err := url.Parse(offer.URI)
	s.check(err)
	folder, err := os.Open(s.B.Path(filepath.Dir(u.Path))) // whose path is too long for a socket's address
	s.check(err)
	defer folder.Close()
	c, err := net.Dial("unix", fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), filepath.Base(u.Path)))
	s.check(err)
	s.t.Cleanup(func() { c.Close() })
	s.wait("host-b has memory for host-c", 10*time.Second, func() bool {
		return slices.ContainsFunc(b.status().Sessions, func(e control.SessionStatus) bool { return e.ID == id && len(e.Channels) > 0 })
	})
	return lead, id
}

// takes has a port of host-a's take every session that host-b opens, and all that comes by it.
func (o *outsider) takes() {
	s := o.s
	s.t.Helper()
	sink, err := net.Listen("unix", filepath.Join(s.t.TempDir(), "sink"))
	s.check(err)
	var all sync.WaitGroup
	all.Go(func() {
		eachConn(&all, sink, func(c net.Conn) { io.Copy(io.Discard, c) })
	})
	s.t.Cleanup(func() {
		sink.Close()
		all.Wait()
	})
	o.serves(&stream.Terms{Accept: func(context.Context, stream.Info) (stream.Handler, func(*stream.Session), error) {
		return taker{sink}, func(*stream.Session) {}, nil
	}})
}

// serves has a port of host-a's serve host-b by these terms until the test's end.
func (o *outsider) serves(terms *stream.Terms) {
	s := o.s
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.ctx)
	l, err := s.A.Listen(ctx, "tcp", ":16515")
	s.check(err)
	acceptor := &stream.Acceptor{Host: o.name}
	var all sync.WaitGroup
	all.Go(func() {
		eachConn(&all, l, func(raw net.Conn) {
			if c, err := relay.Server(ctx, raw, o.tls); err == nil {
				acceptor.Serve(ctx, c, func() (stream.Who, *stream.Terms) { return stream.Who{Peer: "host-b"}, terms })
			}
		})
	})
	s.t.Cleanup(func() {
		cancel()
		l.Close()
		all.Wait()
	})
}

// eachConn serves what a listener accepts until it is closed.
func eachConn(all *sync.WaitGroup, l net.Listener, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		all.Go(func() {
			defer c.Close()
			serve(c)
		})
	}
}

// taker is the acceptor's end of a session, whose channels all end in one socket.
type taker struct{ sink net.Listener }

func (h taker) Connect(context.Context, string, int) (net.Conn, error) {
	return net.Dial("unix", h.sink.Addr().String())
}

func (taker) Call(context.Context, string, []byte) (any, error) { return nil, nil }

func (taker) End(*stream.Cause) {}
