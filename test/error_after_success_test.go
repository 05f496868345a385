package test

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/control"
)

// brokenBehind stands before a host's libvirt as virtproxyd does, and says by an error of libvirt's
// that it has lost its connection with the QEMU driver, whenever that has taken a guest over.
type brokenBehind struct{}

func (brokenBehind) Judge(h libvirtrpc.Head) (hold bool, refusal *libvirtrpc.Error) {
	return h.Type == libvirtrpc.TypeCall && h.Procedure == libvirtrpc.ProcMigrateFinish3Params, nil
}

func (brokenBehind) Understand(context.Context, *libvirtrpc.Call) libvirtrpc.Outcome {
	const systemError libvirtrpc.Code = 38 // VIR_ERR_SYSTEM_ERROR
	return libvirtrpc.Outcome{Reply: func(r *libvirtrpc.Reply) {
		if r.Err == nil {
			r.Err = libvirtrpc.Errorf(systemError, "End of file while reading data: Input/output error")
		}
	}}
}

func (brokenBehind) Busy() bool { return false }

const brokenSocket = "/run/broken-libvirt-sock"

// standsBefore has it listen on a host.
func (b brokenBehind) standsBefore(s *site, h *lab.Host) {
	s.t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: h.Path(brokenSocket), Net: "unix"})
	s.check(err)
	ctx, cancel := context.WithCancel(s.ctx)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			all.Go(func() {
				server, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: h.Path("/run/libvirt/libvirt-sock"), Net: "unix"})
				if err != nil {
					c.Close()
					return
				}
				(&libvirtrpc.Conversation{Client: c, Server: server, Rules: b}).Run(ctx)
			})
		}
	})
	s.t.Cleanup(func() {
		cancel()
		l.Close()
		all.Wait()
	})
}

// An error is no answer by itself, whoever asks for Finish: the guest runs at the destination, and
// nowhere else.
func TestErrorAfterSuccess(t *testing.T) {
	t.Parallel()
	for name, move := range map[string]func(s *site, a *daemon, g *lab.Guest){
		"sluice migrate":    func(s *site, a *daemon, g *lab.Guest) { a.migrate(g.Name).want(control.Moved, 0) },
		"peer to peer":      func(s *site, a *daemon, g *lab.Guest) { s.virshMigrates(s.A, g, a.uri(), "--p2p").moves() },
		"managed":           func(s *site, a *daemon, g *lab.Guest) { s.virshMigrates(s.A, g, a.uri()).moves() },
		"led, peer to peer": func(s *site, a *daemon, g *lab.Guest) { s.virshMigrates(s.A, g, s.tlsURI("host-a"), "--p2p").moves() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			brokenBehind{}.standsBefore(s, s.B)
			a := s.start(s.A, conf{limits: defaults})
			s.start(s.B, conf{limits: defaults, top: "libvirt_socket = '" + brokenSocket + "'\n"})
			g := s.guest(lab.GuestSpec{})
			move(s, a, g)
			s.onlyOn(g, s.B)
		})
	}
}
