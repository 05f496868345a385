package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"time"
)

const (
	// noVariables is what libvirt makes the variables of a UEFI guest from.
	noVariables = "/usr/share/OVMF/OVMF_VARS_4M.fd"
	// flashBase is where the guest has them: OVMF's 4 MiB end with the 32-bit address space, and
	// begin with the variables.
	flashBase = 1<<32 - 4<<20
)

// GoOn lets a UEFI guest run that has come to a host paused, and pauses it again. QEMU writes
// variables that came with a guest to their file when that first runs.
func (g *Guest) GoOn(ctx context.Context, h *Host) error {
	if _, err := h.Virsh(ctx, "resume", g.Domain()); err != nil {
		return err
	}
	return g.pauseUEFI(ctx, h)
}

// waitVariables waits until the firmware has written variables.
func (g *Guest) waitVariables(ctx context.Context, h *Host) error {
	none, err := os.ReadFile(h.Path(noVariables))
	if err == nil {
		err = poll(ctx, "UEFI's variables to be written", 10*time.Millisecond, func() (bool, error) {
			now, err := os.ReadFile(h.Path(g.NVRAMPath()))
			return !bytes.Equal(now, none), err
		})
	}
	if err != nil {
		return fmt.Errorf("guest %s on %s: %w", g.Name, h.Name, err)
	}
	return nil
}

// pauseUEFI pauses the guest where its flash shows what it holds, and takes its memory for what it
// is to be.
func (g *Guest) pauseUEFI(ctx context.Context, h *Host) error {
	err := poll(ctx, "the guest to leave its flash alone", 10*time.Millisecond, func() (reads bool, err error) {
		if _, err := h.Virsh(ctx, "suspend", g.Domain()); err != nil {
			return false, err
		}
		err = g.save(ctx, h, flashBase, nvramSize, func(path string, _ uint32, _ int) error {
			seen, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			kept, err := os.ReadFile(h.Path(g.NVRAMPath()))
			reads = bytes.Equal(seen, kept)
			return err
		})
		if err == nil && !reads { // in the midst of a write a flash shows its state instead
			_, err = h.Virsh(ctx, "resume", g.Domain())
		}
		return reads, err
	})
	if err == nil {
		g.digest, err = g.memoryDigest(ctx, h)
	}
	return err
}

func (g *Guest) checkDigest(ctx context.Context, h *Host) error {
	digest, err := g.memoryDigest(ctx, h)
	if err == nil && !bytes.Equal(digest, g.digest) {
		err = fmt.Errorf("guest %s on %s: %w: it is not what it was when the guest was paused", g.Name, h.Name, ErrCorrupt)
	}
	return err
}

// memoryDigest is of all memory but the first MiB, and of the variables.
func (g *Guest) memoryDigest(ctx context.Context, h *Host) ([]byte, error) {
	sum := sha256.New()
	add := func(path string, _ uint32, _ int) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(sum, f)
		return err
	}
	err := g.saveAll(ctx, h, add)
	if err == nil {
		err = g.save(ctx, h, flashBase, nvramSize, add)
	}
	return sum.Sum(nil), err
}
