package test

import (
	"flag"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
)

// soakFor is how long TestSoak goes round; 0 is a sample of a few rounds.
var soakFor = flag.Duration("soak", 0, "how long TestSoak goes round")

const (
	leastRounds = 2
	// flatRounds are enough for a third of them to say something of memory, whose size moves with
	// Go's collector. memorySlack, in KiB, is what it may move by.
	flatRounds  = 12
	memorySlack = 4 << 10
)

// TestSoak does all that daemons do, and all that can become of it, over and over: migrations that
// succeed, are cancelled and are broken, libvirt clients, a third peer's sessions, strangers. After
// each round both daemons hold the descriptors and goroutines that they held when they were new,
// and after many their memory is no larger than it was after few.
func TestSoak(t *testing.T) {
	t.Parallel()
	s := newSiteFor(t, testTimeout+*soakFor)
	s.daemon = s.command // the race detector's memory says nothing of sluice's
	a := s.start(s.A, conf{})
	b := s.start(s.B, conf{peers: "[peers.host-a]\n[peers.host-c]\naddress = 'host-a:16515'\n"})
	g := s.guest(lab.GuestSpec{})
	third, stranger := s.outsider("host-c"), s.outsider("")

	memory := make(map[*daemon][]int)
	for end := time.Now().Add(*soakFor); len(memory[a]) < leastRounds || time.Now().Before(end); {
		moved(a.migrate(g.Name), g, a, b)
		b.virshMigrate(a, g, "--p2p")
		m := a.migrate(g.Name, slow...)
		m.halfway()
		s.check(m.cmd.Process.Signal(syscall.SIGINT))
		m.stays(control.Cancelled, 3, "host-a")
		m = a.migrate(g.Name, slow...)
		m.halfway()
		s.check(s.ResetConnections(s.ctx, 16514))
		m.stays(control.Failed, 1, "channel ")
		for _, c := range []*net.UnixConn{a.calls(), a.calls()} {
			c.Write([]byte{0, 0, 1}) // of a packet's length
			c.Close()
		}
		s.virshSays(s.A, "-c", a.uri(), "list")
		for _, end := range []string{"done", "cancelled", "broken"} {
			third.session(end)
		}
		stranger.visits()
		s.onlyOn(g, s.A)

		line := fmt.Sprintf("round %d:", len(memory[a])+1)
		for _, d := range []*daemon{a, b} {
			h, kib := d.holds(), d.resident()
			memory[d] = append(memory[d], kib)
			line += fmt.Sprintf(" %s %d descriptors, %d goroutines, %d KiB;", d.host.Name, len(h.Descriptors), len(h.Goroutines), kib)
		}
		t.Log(line)
	}
	for d, kib := range memory {
		if n := len(kib) / 3; len(kib) >= flatRounds {
			early, late := median(kib[n:2*n]), median(kib[2*n:])
			t.Logf("%s: %d KiB, later %d KiB", d.host.Name, early, late)
			if late > early+memorySlack {
				t.Errorf("the memory of sluice on %s grows: %d KiB in the second third of %d rounds, %d KiB in the last", d.host.Name, early, len(kib), late)
			}
		}
	}
}

// calls connects as a libvirt client of the daemon's host, which speaks with the other's libvirt.
func (d *daemon) calls() *net.UnixConn {
	d.s.t.Helper()
	c, err := net.Dial("unix", d.host.Path("/run/sluice/peers/"+d.host.Peer().Name+"/libvirt.sock"))
	d.s.check(err)
	return c.(*net.UnixConn)
}

// session opens a session for libvirt's protocol, speaks it, and ends in one of the ways there are.
func (o *outsider) session(end string) {
	s := o.s
	s.t.Helper()
	var control *net.TCPConn
	opened, err := o.opener(func(c *net.TCPConn) {
		if control == nil {
			control = c
		}
	}).Open(s.ctx, stream.Info{ID: stream.NewID(), Work: session.WorkLibvirt})
	s.check(err)
	conn, err := opened.OpenConn(s.ctx, stream.ChannelLibvirt)
	s.check(err)
	v := libvirt.NewWithDialer(dialers.NewAlreadyConnected(conn))
	s.check(v.ConnectToURI(libvirt.QEMUSystem))
	switch end {
	case "done":
		v.Disconnect() // fails where it has seen the other's end already
		opened.Finish()
	case "cancelled":
		opened.Fail(&stream.Cause{Code: stream.CodeCancelled, Text: "no longer wanted"})
	case "broken":
		relay.Reset(control)
	}
	opened.Wait()
	conn.Close()
}

// visits connects in the ways of those who have no business here.
func (o *outsider) visits() {
	o.s.t.Helper()
	for _, says := range []string{"", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "GET / HTTP/1.1\r\n\r\n", "\x00\x00\x00\x01\x80"} {
		for range 5 {
			c, err := o.dial(o.s.ctx)
			o.s.check(err)
			c.Write([]byte(says))
			c.Close()
		}
	}
}

// resident is the daemon's own memory, in KiB.
func (d *daemon) resident() int {
	d.s.t.Helper()
	kib, err := resident(d.cmd.Process.Pid)
	d.s.check(err)
	return kib
}

// resident is a process's own memory, without its program's pages, in KiB.
func resident(pid int) (kib int, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(raw), "RssAnon:")
	_, err = fmt.Sscan(rest, &kib)
	return kib, err
}

func median(of []int) int { return slices.Sorted(slices.Values(of))[len(of)/2] }
