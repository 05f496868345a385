package faults

import (
	"context"
	"sync"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
)

// labs are the hosts that no case uses at the moment.
var labs pool

type pool struct {
	mu   sync.Mutex
	free []*lab.Lab
}

func (p *pool) take(ctx context.Context) (*lab.Lab, error) {
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		l := p.free[n-1]
		p.free = p.free[:n-1]
		p.mu.Unlock()
		return l, nil
	}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return lab.Up(ctx, lab.Options{})
}

// give takes back a lab that is as new.
func (p *pool) give(l *lab.Lab) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, l)
}

func (p *pool) down() (first error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.free {
		if err := l.Down(); err != nil && first == nil {
			first = err
		}
	}
	p.free = nil
	return first
}
