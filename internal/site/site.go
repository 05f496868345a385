// Package site puts a sluice on each host of a lab: a small CA and
// certificates, a configuration, and a running daemon.
//
//	s, err := site.Start(ctx, l, site.Options{Binary: "bin/sluice"})
//	defer s.Stop()
//	out, err := s.A.Command(ctx, "migrate", "g", "host-b").Output()
//
// Certificates lie where libvirt and QEMU look for theirs, so that sluice
// finds them without being told, and QEMU's own TLS works beside it.
package site

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/proxy/control"
)

// Where a host's files are, within the host.
const (
	ConfigFile = "/etc/sluice/sluice.toml"
	LogFile    = "/var/log/libvirt/sluice.log"
)

// Options say what to start.
type Options struct {
	// Binary is the sluice program, on the machine.
	Binary string
	// Config is TOML put before the tables of all hosts' configurations.
	Config string
	// Peer is TOML put behind the head of each other host's table.
	Peer string
	// Daemon is the program that serves, if not Binary.
	Daemon string
	// Env is added to the daemons' environment.
	Env []string
	// Certificate is what a host's has. nil: its name.
	Certificate func(h *lab.Host) pki.Host
	// Aliases are what its peer calls it besides.
	Aliases func(h *lab.Host) []string
	// Clock gives each daemon a clock of its own. nil: the machine's.
	Clock func(h *lab.Host) *lab.Clock
}

// Site is a lab with a sluice on each host.
type Site struct {
	CA   *pki.CA
	A, B *Daemon
	C    *Daemon // nil without a third host
}

// Daemon is one host's sluice.
type Daemon struct {
	Host   *lab.Host
	Pair   *pki.Pair // its certificate
	Binary string    // of its command line
	daemon string
	env    []string
	clock  *lab.Clock
	cmd    *lab.Cmd
	exited chan struct{}
}

// Start makes certificates and configurations and starts the daemons. It
// returns when all are ready.
func Start(ctx context.Context, l *lab.Lab, o Options) (*Site, error) {
	binary, err := filepath.Abs(o.Binary)
	if err != nil {
		return nil, err
	}
	ca, err := pki.NewCA(pki.Authority{Name: "sluice lab CA"})
	if err != nil {
		return nil, fmt.Errorf("make certificates: %w", err)
	}
	s := &Site{CA: ca}
	for _, h := range l.Hosts() {
		d := &Daemon{Host: h, Binary: binary, daemon: cmp.Or(o.Daemon, binary), env: o.Env}
		if o.Clock != nil {
			d.clock = o.Clock(h)
		}
		has := pki.Host{Names: []string{h.Name}}
		if o.Certificate != nil {
			has = o.Certificate(h)
		}
		if d.Pair, err = ca.Issue(has); err == nil {
			err = d.writeCertificates(ca)
		}
		if err != nil {
			return nil, fmt.Errorf("make certificates: %w", err)
		}
		switch h {
		case l.A:
			s.A = d
		case l.B:
			s.B = d
		default:
			s.C = d
		}
	}
	for _, d := range s.Daemons() {
		config := fmt.Sprintf("name = %q\naccept.char_files = [%q]\n%s\n", d.Host.Name, lab.SerialFiles, o.Config)
		for _, h := range l.Hosts() {
			if h == d.Host {
				continue
			}
			config += fmt.Sprintf("[peers.%s]\n%s\n", h.Name, o.Peer)
			if o.Aliases != nil {
				config += fmt.Sprintf("aliases = [\"%s\"]\n", strings.Join(o.Aliases(h), `", "`))
			}
		}
		err := os.WriteFile(d.Host.Path(ConfigFile), []byte(config), 0o644)
		if err == nil {
			err = os.WriteFile(d.Host.Path(LogFile), nil, 0o644)
		}
		if err == nil {
			err = d.Start(ctx)
		}
		if err != nil {
			return nil, errors.Join(err, s.Stop())
		}
	}
	return s, nil
}

// Daemons are all of them.
func (s *Site) Daemons() []*Daemon {
	if s.C == nil {
		return []*Daemon{s.A, s.B}
	}
	return []*Daemon{s.A, s.B, s.C}
}

func (d *Daemon) writeCertificates(ca *pki.CA) error {
	set := pki.Set{CA: ca, Server: d.Pair, Client: d.Pair}
	if _, err := pki.WriteLayout(d.Host.Path("/etc/pki"), pki.LayoutLibvirt, set); err != nil {
		return err
	}
	files, err := pki.WriteLayout(d.Host.Path("/etc/pki/qemu"), pki.LayoutQEMU, set)
	if err != nil {
		return err
	}
	return lab.GiveToQEMU(files...)
}

// Start starts the daemon, again if it has ended, and returns when it is ready.
func (d *Daemon) Start(ctx context.Context) error { return d.start(ctx) }

// Follow starts another process in the daemon's place, as an upgrade does. earlier is closed once the
// one before has finished what it had, and has ended.
func (d *Daemon) Follow(ctx context.Context) (earlier <-chan struct{}, err error) {
	earlier = d.exited
	return earlier, d.start(ctx, "--follow")
}

func (d *Daemon) start(ctx context.Context, more ...string) error {
	log, err := os.OpenFile(d.Host.Path(LogFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer log.Close()
	ran := strings.Count(d.Log(), readyWord)
	// The daemon's life is Stop's to end, not ctx's.
	d.cmd = d.Host.Command(context.WithoutCancel(ctx), d.daemon, append([]string{"serve", "--config", ConfigFile}, more...)...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.Env = append(d.cmd.Env, d.env...)
	if d.clock != nil {
		d.clock.Under(d.cmd)
	}
	if err := d.cmd.Start(); err != nil {
		return fmt.Errorf("start sluice on %s: %w", d.Host.Name, err)
	}
	exited, cmd := make(chan struct{}), d.cmd
	d.exited = exited
	go func() {
		cmd.Wait()
		close(exited)
	}()
	return d.waitReady(ctx, ran)
}

const readyWord = `"ready"`

// waitReady asks until the daemon answers: it opens its sockets one by one,
// the control socket first.
func (d *Daemon) waitReady(ctx context.Context, ran int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for again := time.NewTicker(20 * time.Millisecond); ; {
		if d.Command(ctx, "status").Run() == nil && strings.Count(d.Log(), readyWord) > ran {
			again.Stop()
			return nil
		}
		select {
		case <-again.C:
		case <-d.exited:
			return fmt.Errorf("sluice on %s ended:\n%s", d.Host.Name, d.Log())
		case <-ctx.Done():
			return fmt.Errorf("sluice on %s is not ready: %w:\n%s", d.Host.Name, context.Cause(ctx), d.Log())
		}
	}
}

// Command runs sluice's command line on the daemon's host.
func (d *Daemon) Command(ctx context.Context, args ...string) *lab.Cmd {
	return d.Host.Command(ctx, d.Binary, args...)
}

// Log is what the daemon has logged so far.
func (d *Daemon) Log() string {
	data, err := os.ReadFile(d.Host.Path(LogFile))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// Pid is the daemon's process on the machine.
func (d *Daemon) Pid() int { return d.cmd.Process.Pid }

// Exited is closed once the daemon has ended.
func (d *Daemon) Exited() <-chan struct{} { return d.exited }

// Status is what `sluice status` shows.
func (d *Daemon) Status(ctx context.Context) (*control.Status, error) {
	return control.New(d.Host.Path(control.DefaultSocket)).Status(ctx)
}

// Kill ends the daemon as a crash would, and waits for its end.
func (d *Daemon) Kill() error {
	if err := d.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill sluice on %s: %w", d.Host.Name, err)
	}
	<-d.exited
	return nil
}

// Stop ends the daemons as an operator would, and says when one did not end.
func (s *Site) Stop() error {
	var errs []error
	for _, d := range s.Daemons() {
		errs = append(errs, d.stop())
	}
	return errors.Join(errs...)
}

func (d *Daemon) stop() error {
	if d.exited == nil {
		return nil
	}
	d.cmd.Process.Signal(syscall.SIGTERM)
	patience := time.NewTimer(30 * time.Second)
	defer patience.Stop()
	select {
	case <-d.exited:
		return nil
	case <-patience.C:
		d.cmd.Process.Kill()
		<-d.exited
		return fmt.Errorf("sluice on %s had not drained after 30 s and was killed:\n%s", d.Host.Name, d.Log())
	}
}
