package test

import (
	"context"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/lab"
)

// A Prepare without a cookie would crash libvirtd, and with it the migrations of
// others. It is refused, in words.
func TestPrepareWithoutCookie(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	src, dst := s.libvirtAt(s.A, "/run/libvirt/libvirt-sock"), s.libvirtAt(s.A, peerSocket)
	dom, err := src.DomainLookupByName(g.Name)
	s.check(err)
	const flags = libvirt.MigrateLive
	_, xml, err := src.DomainMigrateBegin3Params(dom, nil, uint32(flags))
	s.check(err)
	before, err := s.B.LibvirtdPID()
	s.check(err)
	params := []libvirt.TypedParam{{Field: libvirt.MigrateParamDestXML, Value: *libvirt.NewTypedParamValueString(xml)}}
	for name, prepare := range map[string]func() error{
		"with parameters": func() error { _, _, err := dst.DomainMigratePrepare3Params(params, nil, uint32(flags)); return err },
		"older": func() error {
			_, _, err := dst.DomainMigratePrepare3(nil, nil, uint64(flags), nil, 0, xml)
			return err
		},
	} {
		if err := prepare(); err == nil {
			t.Fatalf("%s: it is carried", name)
		} else {
			says(t, name, err.Error(), "sluice: ", "no migration cookie", "Begin")
		}
	}
	if _, err := dst.ConnectGetCapabilities(); err != nil {
		t.Errorf("libvirtd afterwards: %v", err)
	}
	if after, err := s.B.LibvirtdPID(); err != nil || after != before {
		t.Errorf("libvirtd was %d and is %d, %v", before, after, err)
	}
	s.check(dst.Disconnect())
	s.check(src.Disconnect())
	s.onlyOn(g, s.A)
}

// A client whose calls do not end takes some of libvirtd's workers, not all:
// others are answered meanwhile, whether they come here or by the network.
func TestWorkersAreLeft(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.start(s.B, conf{peers: clients})
	g := s.guestOn(s.B, lab.GuestSpec{})
	pids, err := s.B.Processes("qemu-system-x86_64")
	s.check(err)
	s.check(syscall.Kill(pids[0], syscall.SIGSTOP))
	thaw := sync.OnceFunc(func() { syscall.Kill(pids[0], syscall.SIGCONT) })
	t.Cleanup(thaw)
	uri, other := s.tlsURI("operator"), s.tlsURI("looker")
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	// Each of these waits for QEMU: the first for its answer, the others for their turn, 30
	// seconds.
	var stuck sync.WaitGroup
	const many = 30
	for range many {
		cmd := s.A.Command(ctx, "virsh", "-q", "-c", uri, "qemu-monitor-command", g.Name, "--hmp", "info status")
		s.check(cmd.Start())
		stuck.Go(func() { cmd.Wait() })
	}
	s.wait("the guest is waited for, by all of them", 60*time.Second, func() bool {
		if len(b.status().Sessions) < many {
			return false
		}
		out, err := s.B.Command(s.ctx, "virsh", "-q", "-c", "qemu:///system", "domcontrol", g.Name).CombinedOutput()
		return err == nil && !strings.Contains(string(out), "ok")
	})
	for who, ask := range map[string]func(ctx context.Context) ([]byte, error){
		"of this host's": func(ctx context.Context) ([]byte, error) {
			return s.B.Command(ctx, "virsh", "-q", "capabilities").CombinedOutput()
		},
		"of another client's": func(ctx context.Context) ([]byte, error) {
			return s.A.Command(ctx, "virsh", "-q", "-c", other, "capabilities").CombinedOutput()
		},
	} {
		bounded, done := context.WithTimeout(s.ctx, 10*time.Second)
		if out, err := ask(bounded); err != nil {
			t.Errorf("a call %s while QEMU is stopped: %v: %.200s", who, err, out)
		}
		done()
	}
	thaw()
	stuck.Wait()
	if out, errs, status := s.run(s.A, "virsh", "-q", "-c", uri, "qemu-monitor-command", g.Name, "--hmp", "info status"); status != 0 {
		t.Errorf("afterwards: %s%s", out, errs)
	}
	s.onlyOn(g, s.B)
}

// A libvirtd that hangs is given up by its own host's sluice, at libvirt's own
// timer, and the guest goes on at the source, which is told why.
func TestVirshFrozenLibvirtd(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{limits: defaults})
	g := s.guest(lab.GuestSpec{})
	v := a.virshStart(g, "--p2p", "--bandwidth", "1")
	v.flows(a, g)
	thaw := s.freezeLibvirtd(s.B)
	v.fails()
	b.logged("libvirt's daemon has given no sign of life for 30s")
	thaw()
	s.wait("the guest goes on", 60*time.Second, func() bool {
		state, err := s.A.Virsh(s.ctx, "domstate", g.Name)
		return err == nil && state == "running"
	})
	s.wait("host-b is rid of the guest", 60*time.Second, func() bool {
		left, err := s.B.Virsh(s.ctx, "list", "--all", "--name")
		return err == nil && left == ""
	})
	for _, e := range a.status().Ended {
		if e.Kind == "steered" {
			says(t, "the cause", e.Cause, "host-b", "no sign of life for 30s")
		}
	}
	s.onlyOn(g, s.A)
}
