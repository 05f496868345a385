package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// What a guest prints.
const (
	sayFilled  = 'R'
	sayGood    = '.'
	sayCorrupt = 'X'
)

// ErrCorrupt says that a guest's memory does not hold what it should.
var ErrCorrupt = errors.New("guest memory is corrupt")

// Passes returns how many passes the guest has made on the host, in which it found its memory
// intact. One in which it did not is an error that wraps ErrCorrupt.
func (g *Guest) Passes(h *Host) (int, error) {
	said, err := os.ReadFile(h.Path(g.serialPath()))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil // it was never here
	}
	if err != nil {
		return 0, fmt.Errorf("guest %s on %s: %w", g.Name, h.Name, err)
	}
	good := bytes.Count(said, []byte{sayGood})
	if i := bytes.IndexByte(said, sayCorrupt); i >= 0 {
		return good, fmt.Errorf("guest %s on %s: %w: its own check failed after %d good passes there",
			g.Name, h.Name, ErrCorrupt, bytes.Count(said[:i], []byte{sayGood}))
	}
	return good, nil
}

// WaitPasses waits until the guest has made n more good passes on the host. It fails at once when
// the guest finds corruption.
func (g *Guest) WaitPasses(ctx context.Context, h *Host, n int) error {
	start, err := g.Passes(h)
	if err != nil {
		return err
	}
	now := start
	err = poll(ctx, "passes", 10*time.Millisecond, func() (done bool, err error) {
		now, err = g.Passes(h)
		return now >= start+n, err
	})
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return fmt.Errorf("guest %s on %s: %d of %d passes: %w", g.Name, h.Name, now-start, n, err)
	}
	return err
}

// waitFilled waits until the guest has filled its memory.
func (g *Guest) waitFilled(ctx context.Context, h *Host) error {
	err := poll(ctx, "its memory to be filled", 10*time.Millisecond, func() (bool, error) {
		said, err := os.ReadFile(h.Path(g.serialPath()))
		return bytes.IndexByte(said, sayFilled) >= 0, err
	})
	if err != nil {
		return fmt.Errorf("guest %s on %s: %w%s", g.Name, h.Name, err, h.logTail("/var/log/libvirt/qemu/"+g.Name+".log"))
	}
	return nil
}

// Spoil corrupts one page of the guest's memory, so that a test can see the checks fail. The guest
// has to run on that host.
func (g *Guest) Spoil(ctx context.Context, h *Host) error {
	_, err := h.Virsh(ctx, "inject-nmi", g.Domain())
	return err
}
