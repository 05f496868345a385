package stand

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// Program is one that runs until the test's end at the latest.
type Program struct {
	*exec.Cmd
	Transcript // of what goes to it: see Run
	t          *testing.T
}

// Await returns the first line of the output that has all the words. The test fails if none comes.
func (p *Program) Await(words ...string) string {
	p.t.Helper()
	line, ok := p.Line(Patience, words...)
	if !ok {
		p.t.Fatalf("%q never came of %v:\n%s", words, p.Args, p.Text())
	}
	return line
}

// Program prepares one, which [Stand.Run] starts. Its folder is the stand's; its standard error
// goes to its transcript, and so does its standard output unless it is set to something else.
func (s *Stand) Program(name string, args ...string) *Program {
	p := &Program{Cmd: exec.Command(name, args...), t: s.t}
	p.Dir, p.Stdout, p.Stderr = s.Dir, p, p
	return p
}

// Run starts a program. When the test ends it is killed, and what it has said is shown if the test
// has failed.
func (s *Stand) Run(p *Program) {
	s.t.Helper()
	if err := p.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		p.Process.Kill()
		p.Wait()
		if s.t.Failed() {
			s.t.Logf("%v:\n%s", p.Args, p.Text())
		}
	})
}

// Start prepares and runs a program.
func (s *Stand) Start(name string, args ...string) *Program {
	s.t.Helper()
	p := s.Program(name, args...)
	s.Run(p)
	return p
}

// Tunnel starts a sluice tunnel with a host's certificates, or with what else the arguments name if
// host is empty, and returns the HOST:PORT or path that it listens at.
func (s *Stand) Tunnel(host string, args ...string) (*Program, string) {
	s.t.Helper()
	if host != "" {
		args = append(s.As(host), args...)
	}
	p := s.Start(s.Sluice, append([]string{"tunnel"}, args...)...)
	var line struct{ Address string }
	if err := json.Unmarshal([]byte(p.Await(`"listening"`)), &line); err != nil {
		s.t.Fatal(err)
	}
	_, at, _ := strings.Cut(line.Address, ":")
	return p, at
}
