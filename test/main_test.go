// Package test tries whole sluices: daemons and command line as they are installed, between two
// libvirt hosts (internal/lab), with real guests whose memory is checked afterwards.
//
// Every test brings its own daemons and guests, and ends by checking that nothing of them is left
// on either host. The hosts are shared, one pair for each test that runs at the time.
package test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/stand"
)

func TestMain(m *testing.M) {
	if os.Getenv(takeOver) != "" {
		takesOver()
	}
	if role := os.Getenv(loadHost); role != "" {
		if err := hostOfLoad(role, os.Getenv(loadDir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	status := m.Run()
	if err := labs.down(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	sluice.Remove()
	os.Exit(status)
}

// sluice is what is tested.
var sluice stand.Built

// programs are sluice's.
type programs struct{ daemon, command string }

func build() (programs, error) {
	p, err := sluice.Programs()
	return programs{p.Daemon, p.Command}, err
}

// labs are the hosts that tests share.
var labs pool

// pool keeps labs that no test uses at the moment.
type pool struct {
	mu   sync.Mutex
	free []*lab.Lab
}

// take hands out a free lab, or a new one.
func (p *pool) take(t *testing.T) *lab.Lab {
	t.Helper()
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		l := p.free[n-1]
		p.free = p.free[:n-1]
		p.mu.Unlock()
		return l
	}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	l, err := lab.Up(ctx, lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// give takes a lab back that is as new.
func (p *pool) give(l *lab.Lab) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, l)
}

func (p *pool) down() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var first error
	for _, l := range p.free {
		if err := l.Down(); err != nil && first == nil {
			first = err
		}
	}
	p.free = nil
	return first
}
