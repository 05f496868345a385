package proxy

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/control"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
)

// closedPort is an address where nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return l.Addr().String()
}

// reaching is host-a's migration to host-b, as far as the way there.
func (h *testHost) reaching(tls string) error {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	m := &outgoing{d: h.Daemon, req: &control.MigrateRequest{TLS: tls}, peer: h.Peers.All["host-b"], log: zerolog.Nop(),
		info: stream.Info{ID: stream.NewID(), Work: session.WorkMigration, UUID: "c7a5fdbd-edaf-9455-926a-d65c16db1809"}}
	f, err := m.reach(ctx)
	if err == nil {
		f.Fail(&stream.Cause{Code: stream.CodeCancelled})
		f.Wait()
	}
	return err
}

func hasCode(t *testing.T, err error, code string) {
	t.Helper()
	if c := (*stream.Cause)(nil); !errors.As(err, &c) || c.Code != code {
		t.Errorf("%v: its code is not %q", err, code)
	}
}

// A sluice whose port seems closed, as a forged reset makes it, and that answers
// where its host's libvirtd is meant to: nothing goes to it in clear.
func TestResetsOpenNoWayInClear(t *testing.T) {
	a, b := pairOfHosts(t, newAuthority(t, "CA"))
	b.start("", peerA)
	a.start("", "[peers.host-b]\naddress = '"+closedPort(t)+"'\nwithout_sluice = 'plain'\nlibvirt_uri = 'qemu+tls://"+b.listening()+"/system'\n")
	err := a.reaching(control.Unset)
	says(t, err, "a sluice answers there", "somebody resets connections")
	hasCode(t, err, stream.CodeRefused)
	if !a.Peers.All["host-b"].SluiceSeen.Load() {
		t.Error("that host-b has a sluice is not remembered")
	}
}

// A peer's sluice that has spoken once, either way, ends what goes in clear for
// want of it.
func TestSluiceThatWasThereEndsPlain(t *testing.T) {
	a, b := pairOfHosts(t, newAuthority(t, "CA"))
	b.start("", peerA+"without_sluice = 'plain'\n")
	a.start("", peerTable(b, "without_sluice = 'plain'\nlibvirt_uri = 'qemu+tls://"+closedPort(t)+"/system'"))
	from := b.Peers.All["host-a"]
	clear := func() string {
		g := &guard{d: b.Daemon, bare: from, log: zerolog.Nop()}
		out := g.prepareBare(nil, &libvirtrpc.Prepare{}, transfer{by: session.ByNothing}, movingGuest{name: "guest", uuid: "c7a5fdbd-edaf-9455-926a-d65c16db1809"})
		if out.Err == nil {
			return ""
		}
		return out.Err.Message
	}
	to := a.Peers.All["host-b"]
	if to.SluiceSeen.Load() || from.SluiceSeen.Load() {
		t.Fatal("a sluice is taken for seen before it has spoken")
	}
	if err := a.ask("host-b"); err != nil {
		t.Fatal(err)
	}
	if got := clear(); !strings.Contains(got, "a sluice of host-a's has spoken") || !strings.Contains(got, "restart sluice on host-b") {
		t.Errorf("a guest may come in clear: %q", got)
	}
	to.Conf.Address = closedPort(t) // it is stopped
	err := a.reaching(control.Unset)
	says(t, err, "a sluice of host-b's has spoken", "--tls yes", "restart sluice on host-a")
	hasCode(t, err, stream.CodeLink) // as it is without the key
	err = a.reaching(control.Yes)
	says(t, err, "connection refused", "listen_tls") // as far as libvirtd
	hasCode(t, err, stream.CodeLink)
}

func TestBareWayRefused(t *testing.T) {
	ca := newAuthority(t, "CA")
	for _, c := range []struct {
		name, uri, tls, code string
		words                []string
		never                string
	}{
		{"--tls yes and calls in clear", "qemu+tcp://" + closedPort(t), control.Yes, stream.CodeLink, []string{"--tls yes needs libvirt's calls by TLS too", "peers.host-b.libvirt_uri", "qemu+tls://"}, "connection refused"},
		{"libvirtd does not listen", "qemu+tls://" + closedPort(t), control.Unset, stream.CodeLink, []string{"connection refused", "listen_tls"}, ""},
		{"libvirtd's port is filtered", "qemu+tls://" + deaf(t), control.Unset, stream.CodeLink, []string{"its libvirt can't be used", "no answer within 500ms"}, "listen_tls"},
		{"silence in place of TLS", "qemu+tls://" + someone(t, func(c net.Conn) { c.Read(make([]byte, 1<<16)); c.Read(make([]byte, 1)) }), control.Unset, stream.CodeLink, []string{"no answer within 500ms"}, "listen_tls"},
		{"no libvirtd", "qemu+tls://" + opensslServer(t, newAuthority(t, "another CA")), control.Unset, stream.CodeRefused, []string{"another CA"}, "listen_tls"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, _ := pairOfHosts(t, ca)
			a.start("", "[limits]\nhandshake_timeout = '500ms'\n[peers.host-b]\naddress = '"+closedPort(t)+"'\nwithout_sluice = 'plain'\nlibvirt_uri = '"+c.uri+"/system'\n")
			err := a.reaching(c.tls)
			says(t, err, c.words...)
			hasCode(t, err, c.code)
			if c.never != "" && err != nil && strings.Contains(err.Error(), c.never) {
				t.Errorf("%q is in\n%v", c.never, err)
			}
		})
	}
}

// A channel of QEMU's may come while libvirt's answer to Prepare is read.
func TestPortsAreLearntAtOnce(t *testing.T) {
	b := &bare{peer: &peer.Peer{Name: "host-b"}}
	var learning sync.WaitGroup
	learning.Go(func() {
		for range 1000 {
			if err := b.learnPorts([]string{"tcp://host-b:49152"}, nil); err != nil {
				t.Error(err)
			}
		}
	})
	for range 1000 {
		_, err := b.dialQEMU(t.Context(), stream.ChannelDisk, nil)
		says(t, err, "waits for no disk")
	}
	learning.Wait()
}
