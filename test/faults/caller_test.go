package faults

import (
	"bytes"
	"regexp"
	"strings"
	"sync"
	"syscall"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/stand"
	"github.com/virt-sluice/sluice/proxy/control"
)

// A caller is the command that moves the guest.
type caller struct {
	cmd    *lab.Cmd
	events stand.Events // of sluice migrate
	sluice bool

	mu     sync.Mutex
	stderr bytes.Buffer
	done   chan struct{}
}

// Write takes what the command says on its standard error.
func (c *caller) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stderr.Write(p)
}

// call starts the caller, or another one.
func (s *stage) call(args []string) (*caller, error) { return s.callOn(s.A, args) }

func (s *stage) callOn(h *lab.Host, args []string) (*caller, error) {
	c := &caller{cmd: h.Command(s.ctx, args[0], args[1:]...), sluice: args[0] == s.programs.Command, done: make(chan struct{})}
	c.cmd.Stderr = c
	if c.sluice {
		c.cmd.Stdout = &c.events
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		c.cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

func (c *caller) running() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// killed is the outcome of a command that was ended by a signal.
const killed = "killed"

// outcome is what the command says, once it has ended: one of the outcomes of package control, or
// killed. A stock client knows two.
func (c *caller) outcome() string {
	status := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	r := c.events.Result()
	switch {
	case status.Signaled():
		return killed
	case c.sluice && r != nil:
		return r.Outcome
	case c.sluice: // it could not even ask
		return control.Failed
	case status.ExitStatus() == 0:
		return control.Moved
	}
	return control.Failed
}

// chatter are lines of virsh's own log that have nothing to do with the migration.
var chatter = regexp.MustCompile(`: info : |: warning : virNetTLS`)

// words are those for a person.
func (c *caller) words() string {
	if r := c.events.Result(); r != nil {
		return r.Message
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for line := range strings.Lines(c.stderr.String()) {
		if !chatter.MatchString(line) {
			b.WriteString(line)
		}
	}
	return b.String()
}
