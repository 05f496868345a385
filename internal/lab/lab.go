package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Names and addresses of the hosts, the same in every lab. The IPv4 range is the one that RFC 5737
// keeps for documentation.
const (
	HostA = "host-a"
	HostB = "host-b"
	HostC = "host-c"

	addrA, addr6A = "192.0.2.1", "fd5c:1ab::1"
	addrB, addr6B = "192.0.2.2", "fd5c:1ab::2"
	addrC, addr6C = "192.0.2.3", "fd5c:1ab::3"
)

// Options say what lab to bring up. The zero value is a lab with a random name that ends with the
// calling process.
type Options struct {
	// Name tells labs on one machine apart: letters, digits, '.', '_' and '-'. Empty: a random one.
	Name string
	// Persist lets the lab outlive the process that brings it up. It then stands until Down.
	Persist bool
	// LibvirtdConf and QemuConf are lines added to the end of /etc/libvirt/libvirtd.conf and
	// qemu.conf on both hosts.
	LibvirtdConf, QemuConf string
	// RootA and RootB are folders with file systems that the hosts have as their root instead of the
	// machine's, such as those of package roots: of several, joined as in PATH, the first lies over
	// the others. All they then share with the machine is /dev, /tmp and os.TempDir. Where there is a
	// virtqemud, modular daemons run in place of libvirtd, and nothing listens on plain TCP.
	RootA, RootB string
	// Third has a third host, with the machine's root, on one link with the others.
	Third bool
}

// A Lab is two hosts, or three, and the link between them. Its methods may be called from several
// goroutines.
type Lab struct {
	Name string
	A, B *Host
	C    *Host // nil unless Options.Third

	lifeline *os.File // its closing ends the hosts; nil when the lab persists or is somebody else's

	linkMu sync.Mutex
	rate   int64 // bytes per second; 0 is unlimited
	cut    bool

	downOnce sync.Once
	downErr  error
}

// ErrNoLab says that no lab of a name stands on this machine.
var ErrNoLab = errors.New("no such lab")

// Up brings up a lab: hosts that see each other by name, each with a running libvirtd that also
// listens on plain TCP (port 16509). When it fails, nothing is left. ctx bounds the bringing up
// alone.
func Up(ctx context.Context, opts Options) (*Lab, error) {
	if missing := Missing(); len(missing) > 0 {
		return nil, fmt.Errorf("this machine cannot run a lab: %s", strings.Join(missing, "; "))
	}
	if opts.Name == "" {
		opts.Name = strings.ToLower(rand.Text()[:8])
	}
	if !nameRule.MatchString(opts.Name) {
		return nil, fmt.Errorf("lab name %q: want letters, digits, '.', '_' and '-'", opts.Name)
	}
	if labs, err := List(); err != nil {
		return nil, err
	} else if _, taken := labs[opts.Name]; taken {
		return nil, fmt.Errorf("lab %q stands already", opts.Name)
	}

	l := &Lab{Name: opts.Name}
	if err := l.up(ctx, opts); err != nil {
		return nil, fmt.Errorf("bring up lab %s: %w", opts.Name, errors.Join(err, l.Down()))
	}
	return l, nil
}

var nameRule = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func (l *Lab) up(ctx context.Context, opts Options) error {
	var life *os.File
	if !opts.Persist {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer r.Close()
		life, l.lifeline = r, w
	}
	var err error
	if l.A, err = startHost(ctx, l.Name, HostA, opts.RootA, life); err != nil {
		return err
	}
	if l.B, err = startHost(ctx, l.Name, HostB, opts.RootB, life); err != nil {
		return err
	}
	if opts.Third {
		if l.C, err = startHost(ctx, l.Name, HostC, "", life); err != nil {
			return err
		}
	}
	l.name()
	if err := l.connect(ctx); err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	for i, h := range l.Hosts() {
		all.Go(func() error {
			if err := h.writeConfig(i, opts); err != nil {
				return err
			}
			if err := h.StartLibvirtd(ctx); err != nil {
				return err
			}
			// Makes libvirtd ask QEMU what it can do, which takes a second and would otherwise fall
			// to whatever comes first: a guest's start, or at the destination the migration that
			// somebody measures.
			_, err := h.Virsh(ctx, "capabilities")
			return err
		})
	}
	return all.Wait()
}

// name tells the hosts where they are.
func (l *Lab) name() {
	addresses := map[string][2]string{HostA: {addrA, addr6A}, HostB: {addrB, addr6B}, HostC: {addrC, addr6C}}
	_, err := os.Stat("/proc/net/if_inet6")
	for _, h := range l.Hosts() {
		h.lab, h.Addr = l, addresses[h.Name][0]
		if err == nil {
			h.Addr6 = addresses[h.Name][1]
		}
	}
}

// Attach finds a lab that another process has brought up. Its Down ends the lab.
func Attach(name string) (*Lab, error) {
	labs, err := List()
	if err != nil {
		return nil, err
	}
	pids, ok := labs[name]
	if !ok {
		return nil, fmt.Errorf("lab %q: %w", name, ErrNoLab)
	}
	l := &Lab{Name: name}
	// What is left of a lab of which one host has died can still be taken down.
	for host, pid := range pids {
		h, err := openHost(host, pid)
		if err != nil {
			return nil, errors.Join(err, l.leave())
		}
		switch host {
		case HostA:
			l.A = h
		case HostB:
			l.B = h
		default:
			l.C = h
		}
	}
	if l.A == nil || l.B == nil {
		return l, fmt.Errorf("lab %q: only %s is left of it", name, l.Hosts()[0].Name)
	}
	l.name()
	return l, nil
}

// Hosts returns A and B, and C if there is one, for what is done to all.
func (l *Lab) Hosts() []*Host {
	var hosts []*Host
	for _, h := range []*Host{l.A, l.B, l.C} {
		if h != nil {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// Host returns the host of that name, or nil.
func (l *Lab) Host(name string) *Host {
	for _, h := range l.Hosts() {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// Down ends every process of the lab, and with them everything else of it. It waits until they are
// gone, and reaps the commands that were started in its hosts. Calling it again returns the same
// error.
func (l *Lab) Down() error {
	l.downOnce.Do(func() {
		var errs []error
		for _, h := range l.Hosts() {
			errs = append(errs, os.NewSyscallError("pidfd_send_signal", ignoreGone(unix.PidfdSendSignal(h.pidfd, unix.SIGKILL, nil, 0))))
		}
		if l.lifeline != nil {
			l.lifeline.Close()
		}
		for _, h := range l.Hosts() {
			if err := h.gone(); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", h.Name, err))
			}
		}
		l.downErr = errors.Join(append(errs, l.leave())...)
	})
	return l.downErr
}

// leave lets go of the hosts without ending them.
func (l *Lab) leave() error {
	var errs []error
	for _, h := range l.Hosts() {
		errs = append(errs, h.close())
	}
	return errors.Join(errs...)
}

// Close lets go of a lab that Attach found, or that persists, and leaves it standing. The commands
// started in its hosts are killed, as they are when the process ends.
func (l *Lab) Close() error {
	l.downOnce.Do(func() { l.downErr = l.leave() })
	return l.downErr
}

func ignoreGone(err error) error {
	if err == unix.ESRCH {
		return nil
	}
	return err
}
