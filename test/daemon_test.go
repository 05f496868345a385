package test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/internal/stand"
	"github.com/virt-sluice/sluice/proxy/control"
)

// A daemon is one host's sluice.
type daemon struct {
	s      *site
	host   *lab.Host
	config string   // file
	under  []string // what runs it, if anything
	more   []string // further arguments
	cmd    *lab.Cmd
	logTo  string // file
	exited chan struct{}
	idle   stand.Holdings // before it had done anything
}

// conf is how a daemon differs from one that is ready to migrate.
type conf struct {
	top    string // TOML, before the tables
	limits string // lines of [limits]
	peers  string // [peers.*] in place of the other host's

	certificates string // further lines of [certificates]

	name  string   // its own; the host's if empty
	names []string // of its certificate; the host's name if nil
	under []string // what runs it, with arguments
	more  []string // further arguments of its own
	ca    *pki.CA  // of its certificate, if not the site's; this host alone trusts it
}

// patience is what the limits of every daemon are, unless a test sets its own: much longer than a
// loaded machine takes, and short enough for tests that wait for them.
const patience = `handshake_timeout = "5s"
prepare_timeout = "30s"
finish_timeout = "20s"
`

// hasty is patience for tests that wait until the source no longer asks what
// became of a guest: finish_timeout and a quarter of a minute.
const hasty = `handshake_timeout = "2s"
prepare_timeout = "30s"
finish_timeout = "1s"
`

// both starts a daemon on each host.
func (s *site) both(c conf) (a, b *daemon) {
	s.t.Helper()
	return s.start(s.A, c), s.start(s.B, c)
}

// start starts a daemon on a host and returns when it is ready.
func (s *site) start(h *lab.Host, c conf) *daemon {
	s.t.Helper()
	name := cmp.Or(c.name, h.Name)
	if c.names == nil {
		c.names = []string{name}
	}
	if c.ca == nil {
		c.ca = s.ca
	}
	if c.peers == "" {
		c.peers = fmt.Sprintf("[peers.%s]\n", h.Peer().Name)
	}
	if !strings.Contains(c.limits, "_timeout") {
		c.limits += "\n" + patience
	}
	ca := s.write(name+"-ca.pem", append(s.ca.CertPEM(), c.ca.CertPEM()...))
	cert, key := s.certificate(c.ca, name, c.names...)
	d := &daemon{s: s, host: h, under: c.under, more: c.more}
	d.config = s.write(name+".toml", fmt.Appendf(nil, "name = %q\naccept.char_files = [%q]\n%s\n[certificates]\nca = %q\ncert = %q\nkey = %q\n%s[limits]\n%s\n%s",
		name, lab.SerialFiles, c.top, ca, cert, key, c.certificates, c.limits, c.peers))
	d.logTo = filepath.Join(s.dir, name+".log")
	s.daemons = append(s.daemons, d)
	d.start()
	return d
}

// start runs the daemon until its start is over; also again, after it has ended.
func (d *daemon) start() {
	d.s.t.Helper()
	d.launch()
	d.waitStarted()
}

// launch runs the daemon with further arguments, and waits until it is ready.
func (d *daemon) launch(args ...string) {
	t := d.s.t
	t.Helper()
	log, err := os.OpenFile(d.logTo, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	d.s.check(err)
	defer log.Close()
	ran := strings.Count(d.log(), readyWords)
	line := slices.Concat(d.under, []string{d.s.daemon, "serve", "--config", d.config}, d.more, args)
	d.cmd = d.host.Command(t.Context(), line[0], line[1:]...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.Env = append(d.cmd.Env, stand.GoroutinesVariable+"="+d.goroutinesFile())
	d.s.check(d.cmd.Start())
	exited, cmd := make(chan struct{}), d.cmd
	d.exited = exited
	go func() {
		cmd.Wait()
		close(exited)
	}()
	d.s.wait("sluice on "+d.host.Name+" is ready", 30*time.Second, func() bool {
		if !d.alive() {
			t.Fatalf("sluice on %s ended:\n%s", d.host.Name, d.log())
		}
		return strings.Count(d.log(), readyWords) > ran
	})
}

const readyWords = `"message":"ready"`

func (d *daemon) log() string {
	raw, _ := os.ReadFile(d.logTo)
	return string(raw)
}

func (d *daemon) alive() bool {
	select {
	case <-d.exited:
		return false
	default:
		return true
	}
}

// signal sends the daemon a signal.
func (d *daemon) signal(sig syscall.Signal) {
	d.s.t.Helper()
	d.s.check(d.cmd.Process.Signal(sig))
}

// waitExit waits for the daemon's end and returns its exit status, -1 after a signal.
func (d *daemon) waitExit(most time.Duration) int {
	d.s.t.Helper()
	d.s.wait("the end of sluice on "+d.host.Name, most, func() bool { return !d.alive() })
	return d.cmd.ProcessState.ExitCode()
}

// killed ends the daemon as a crash would.
func (d *daemon) killed() {
	d.s.t.Helper()
	d.signal(syscall.SIGKILL)
	d.waitExit(10 * time.Second)
}

// kill ends a daemon that may have ended, and says what was wrong with it.
func (d *daemon) kill() error {
	if d.cmd == nil || d.exited == nil {
		return nil
	}
	d.cmd.Process.Signal(syscall.SIGCONT)
	d.cmd.Process.Kill()
	<-d.exited
	if log := stand.Misbehaved(d.log()); log != "" {
		return fmt.Errorf("sluice on %s misbehaved:\n%s", d.host.Name, log)
	}
	return nil
}

// command is sluice's command line on the daemon's host.
func (d *daemon) command(args ...string) *lab.Cmd {
	return d.host.Command(d.s.ctx, d.s.command, args...)
}

// status is what `sluice status` shows.
func (d *daemon) status() *control.Status {
	d.s.t.Helper()
	ctx, cancel := context.WithTimeout(d.s.ctx, 10*time.Second)
	defer cancel()
	st, err := control.New(d.host.Path(control.DefaultSocket)).Status(ctx)
	if err != nil {
		d.s.t.Fatalf("status of %s: %v", d.host.Name, err)
	}
	return st
}

// ended waits until the daemon has no session, and returns the one that ended last.
func (d *daemon) ended() control.SessionStatus {
	d.s.t.Helper()
	var st *control.Status
	d.s.wait("the end of the session on "+d.host.Name, 30*time.Second, func() bool {
		st = d.status()
		return len(st.Sessions) == 0 && len(st.Ended) > 0
	})
	return st.Ended[0]
}

// live is the daemon's one session that has not ended.
func (d *daemon) live() control.SessionStatus {
	d.s.t.Helper()
	st := d.status()
	if len(st.Sessions) != 1 {
		d.s.t.Fatalf("%s has %d sessions: %+v", d.host.Name, len(st.Sessions), st.Sessions)
	}
	return st.Sessions[0]
}
