package test

import (
	"bytes"
	"slices"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/stand"
	"github.com/virt-sluice/sluice/proxy/control"
)

// A migration is one `sluice migrate --json` under way.
type migration struct {
	s   *site
	cmd *lab.Cmd

	events stand.Events
	stderr bytes.Buffer
	exited chan struct{}
}

// migrate starts `sluice migrate` on the daemon's host, to the other one.
func (d *daemon) migrate(guest string, args ...string) *migration {
	d.s.t.Helper()
	m := &migration{s: d.s, exited: make(chan struct{})}
	m.cmd = d.command(append([]string{"migrate", "--json", guest, d.host.Peer().Name}, args...)...)
	m.cmd.Stdout, m.cmd.Stderr = &m.events, &m.stderr
	d.s.check(m.cmd.Start())
	go func() {
		m.cmd.Wait()
		close(m.exited)
	}()
	return m
}

func (m *migration) running() bool {
	select {
	case <-m.exited:
		return false
	default:
		return true
	}
}

// until waits for a progress event.
func (m *migration) until(what string, ok func(control.Progress) bool) {
	m.s.t.Helper()
	m.s.wait(what, time.Minute, func() bool {
		running := m.running()
		if slices.ContainsFunc(m.events.Progress(), ok) {
			return true
		}
		if !running {
			m.s.t.Fatalf("%s: the migration ended before: %+v\n%s", what, m.events.Result(), &m.stderr)
		}
		return false
	})
}

// halfway waits until a part of memory has gone, and more is to go.
func (m *migration) halfway() {
	m.s.t.Helper()
	m.until("memory flows", func(p control.Progress) bool {
		return p.Phase == control.PhaseMemory && p.Percent > 20 && p.Carried > 4<<20
	})
}

// wait waits for the command's end and returns its result and exit status.
func (m *migration) wait() (*control.Result, int) {
	m.s.t.Helper()
	m.s.wait("the end of sluice migrate", 90*time.Second, func() bool { return !m.running() })
	if m.events.Result() == nil {
		m.s.t.Fatalf("sluice migrate ended (%v) without a result: %s", m.cmd.ProcessState, &m.stderr)
	}
	return m.events.Result(), m.cmd.ProcessState.ExitCode()
}

// want waits for the command's end, which must have that outcome and status.
func (m *migration) want(outcome string, status int) *control.Result {
	m.s.t.Helper()
	r, got := m.wait()
	if r.Outcome != outcome || got != status {
		m.s.t.Fatalf("sluice migrate ended with status %d and outcome %s, want %d and %s: %s", got, r.Outcome, status, outcome, r.Message)
	}
	return r
}
