package migration

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/stream/relay"
)

// sourceHost is host-a as far as a migration's way to another host needs it.
func sourceHost(t *testing.T, ca *pki.CA, tables string) *host.Host {
	t.Helper()
	a, _ := hosttest.Pair(t, ca)
	h := &host.Host{Config: a.Configure("", tables), State: new(host.State)}
	var err error
	if h.Peers, err = peer.New(h.Config, zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	return h
}

// sluiceB is the port of a host-b with a sluice, of which there is its handshake.
func sluiceB(t *testing.T, ca *pki.CA) (address string) {
	t.Helper()
	_, b := hosttest.Pair(t, ca)
	peers, err := peer.New(b.Configure("", hosttest.PeerA), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	return hosttest.Serve(t, func(c net.Conn) {
		caller, err := peers.Admit(t.Context(), c.(*net.TCPConn), func(c relay.Conn, _ error) { c.Close() })
		if err == nil {
			io.Copy(io.Discard, caller.Conn)
		}
	})
}

// reaching is a migration to host-b, as far as the way there.
func reaching(t *testing.T, h *host.Host, tls string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	m := &outgoing{host: h, req: &control.MigrateRequest{TLS: tls}, peer: h.Peers.All["host-b"], log: zerolog.Nop(),
		info: stream.Info{ID: stream.NewID(), Work: session.WorkMigration, UUID: "c7a5fdbd-edaf-9455-926a-d65c16db1809"}}
	f, err := m.reach(ctx)
	if err == nil {
		f.Fail(&stream.Cause{Code: stream.CodeCancelled})
		f.Wait()
	}
	return err
}

// A sluice whose port seems closed, as a forged reset makes it, and that answers
// where its host's libvirtd is meant to: nothing goes to it in clear.
func TestResetsOpenNoWayInClear(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a := sourceHost(t, ca, "[peers.host-b]\naddress = '"+hosttest.ClosedPort(t)+"'\nwithout_sluice = 'plain'\nlibvirt_uri = 'qemu+tls://"+sluiceB(t, ca)+"/system'\n")
	err := reaching(t, a, control.Unset)
	hosttest.Says(t, err, "a sluice answers there", "somebody resets connections")
	hosttest.HasCode(t, err, stream.CodeRefused)
	if !a.Peers.All["host-b"].SluiceSeen.Load() {
		t.Error("that host-b has a sluice is not remembered")
	}
}

// A peer's sluice that has spoken once ends what goes in clear for want of it.
func TestSluiceSeenEndsClearWayOut(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	a := sourceHost(t, ca, "[peers.host-b]\naddress = '"+sluiceB(t, ca)+"'\nwithout_sluice = 'plain'\nlibvirt_uri = 'qemu+tls://"+hosttest.ClosedPort(t)+"/system'\n")
	to := a.Peers.All["host-b"]
	if to.SluiceSeen.Load() {
		t.Fatal("a sluice is taken for seen before it has spoken")
	}
	c, err := a.Peers.Dial(t.Context(), to, "")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	to.Conf.Address = hosttest.ClosedPort(t) // it is stopped
	err = reaching(t, a, control.Unset)
	hosttest.Says(t, err, "a sluice of host-b's has spoken", "--tls yes", "restart sluice on host-a")
	hosttest.HasCode(t, err, stream.CodeLink) // as it is without the key
	err = reaching(t, a, control.Yes)
	hosttest.Says(t, err, "connection refused", "listen_tls") // as far as libvirtd
	hosttest.HasCode(t, err, stream.CodeLink)
}

func TestWayWithoutSluiceRefused(t *testing.T) {
	ca := hosttest.NewAuthority(t, "CA")
	for _, c := range []struct {
		name, uri, tls, code string
		words                []string
		never                string
	}{
		{"--tls yes and calls in clear", "qemu+tcp://" + hosttest.ClosedPort(t), control.Yes, stream.CodeLink, []string{"--tls yes needs libvirt's calls by TLS too", "peers.host-b.libvirt_uri", "qemu+tls://"}, "connection refused"},
		{"libvirtd does not listen", "qemu+tls://" + hosttest.ClosedPort(t), control.Unset, stream.CodeLink, []string{"connection refused", "listen_tls"}, ""},
		{"libvirtd's port is filtered", "qemu+tls://" + hosttest.Deaf(t), control.Unset, stream.CodeLink, []string{"its libvirt can't be used", "no answer within 500ms"}, "listen_tls"},
		{"silence in place of TLS", "qemu+tls://" + hosttest.Serve(t, func(c net.Conn) { c.Read(make([]byte, 1<<16)); c.Read(make([]byte, 1)) }), control.Unset, stream.CodeLink, []string{"no answer within 500ms"}, "listen_tls"},
		{"no libvirtd", "qemu+tls://" + hosttest.OpenSSLServer(t, hosttest.NewAuthority(t, "another CA")), control.Unset, stream.CodeRefused, []string{"another CA"}, "listen_tls"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := sourceHost(t, ca, "[limits]\nhandshake_timeout = '500ms'\n[peers.host-b]\naddress = '"+hosttest.ClosedPort(t)+"'\nwithout_sluice = 'plain'\nlibvirt_uri = '"+c.uri+"/system'\n")
			err := reaching(t, a, c.tls)
			hosttest.Says(t, err, c.words...)
			hosttest.HasCode(t, err, c.code)
			if c.never != "" && err != nil && strings.Contains(err.Error(), c.never) {
				t.Errorf("%q is in\n%v", c.never, err)
			}
		})
	}
}

// A channel of QEMU's may come while libvirt's answer to Prepare is read.
func TestPortsAreLearntAtOnce(t *testing.T) {
	b := &withoutSluice{peer: &peer.Peer{Name: "host-b"}}
	var learning sync.WaitGroup
	learning.Go(func() {
		for range 1000 {
			if err := b.learnPorts([]string{"tcp://host-b:49152"}, nil); err != nil {
				t.Error(err)
			}
		}
	})
	for range 1000 {
		_, err := b.port(stream.ChannelDisk)
		hosttest.Says(t, err, "waits for no disk")
	}
	learning.Wait()
}
