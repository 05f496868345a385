// Package test tries whole sluices: daemons and command line as they are installed, between two
// libvirt hosts (internal/lab), with real guests whose memory is checked afterwards.
//
// Every test brings its own daemons and guests, and ends by checking that nothing of them is left
// on either host. The hosts are shared, one pair for each test that runs at the time.
package test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
)

func TestMain(m *testing.M) {
	if os.Getenv(takeOver) != "" {
		takesOver()
	}
	status := m.Run()
	if err := labs.down(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	if programDir != "" {
		os.RemoveAll(programDir)
	}
	os.Exit(status)
}

// programDir is the folder of the sluice under test, once it is built.
var programDir string

// programs are sluice, built twice: the daemon with the race detector, and with
// testdata/goroutines; the command line, which starts much faster, as it is.
type programs struct{ daemon, command string }

var build = sync.OnceValues(func() (programs, error) {
	dir, err := os.MkdirTemp("", "sluice-test-")
	if err != nil {
		return programs{}, err
	}
	programDir = dir
	if err := os.Chmod(dir, 0o755); err != nil { // other users run it too
		return programs{}, err
	}
	here, err := os.Getwd()
	if err != nil {
		return programs{}, err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(here, "../cmd/sluice/zz_goroutines.go"): filepath.Join(here, "testdata/goroutines/main.go"),
	}})
	if err != nil {
		return programs{}, err
	}
	overlayFile := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlayFile, overlay, 0o644); err != nil {
		return programs{}, err
	}
	p := programs{daemon: filepath.Join(dir, "sluiced"), command: filepath.Join(dir, "sluice")}
	for _, args := range [][]string{{"-race", "-overlay", overlayFile, "-o", p.daemon}, {"-o", p.command}} {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		c := exec.CommandContext(ctx, "go", append(append([]string{"build"}, args...), "../cmd/sluice")...)
		if out, err := c.CombinedOutput(); err != nil {
			return programs{}, fmt.Errorf("build sluice: %w\n%s", err, out)
		}
	}
	return p, nil
})

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
