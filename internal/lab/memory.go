package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// memoryPiece is how much of a guest's memory is saved at a time, in bytes. The copy is in memory
// as well.
const memoryPiece = 128 << 20

// CheckMemory compares every word of the memory that the guest on h has filled with what it should
// be, but for the counts that the guest itself checks at each pass; the rest must be zero. The guest
// may be running or paused, and is paused meanwhile if it fills more and more. An error that wraps
// ErrCorrupt says where they differ.
func (g *Guest) CheckMemory(ctx context.Context, h *Host) (err error) {
	if g.Spec.UEFI {
		return g.checkDigest(ctx, h)
	}
	filled := uint32(g.Spec.filled())
	if g.Spec.EmptyMiB > 0 {
		if !g.Spec.Paused {
			if _, err := h.Virsh(ctx, "suspend", g.Domain()); err != nil {
				return err
			}
			defer func() {
				_, resumed := h.Virsh(ctx, "resume", g.Domain())
				err = errors.Join(err, resumed)
			}()
		}
		if filled, err = g.grown(ctx, h); err != nil {
			return err
		}
	}
	return g.saveAll(ctx, h, func(path string, start uint32, size int) error {
		return g.checkPiece(path, start, size, filled)
	})
}

// grown is the address up to which the guest says that it has filled its memory.
func (g *Guest) grown(ctx context.Context, h *Host) (filled uint32, err error) {
	err = g.save(ctx, h, guestGrown, 4, func(path string, _ uint32, _ int) error {
		b, err := os.ReadFile(path)
		if err == nil && len(b) != 4 {
			err = io.ErrUnexpectedEOF
		}
		if err == nil {
			filled = binary.LittleEndian.Uint32(b)
		}
		return err
	})
	if err == nil && (filled < uint32(g.Spec.filled()) || filled > uint32(g.Spec.MemoryMiB)<<20) {
		err = fmt.Errorf("guest %s on %s: %w: it says that it is filled up to %#x", g.Name, h.Name, ErrCorrupt, filled)
	}
	return filled, err
}

// saveAll saves all memory from guestBase on, piece by piece, and hands each to f as a file of so
// many bytes from address start on.
func (g *Guest) saveAll(ctx context.Context, h *Host, f func(path string, start uint32, size int) error) error {
	end := g.Spec.MemoryMiB << 20
	for start := guestBase; start < end; start += memoryPiece {
		if err := g.save(ctx, h, start, min(memoryPiece, end-start), f); err != nil {
			return err
		}
	}
	return nil
}

// save saves a part of what the guest has at its addresses, and hands it to f.
func (g *Guest) save(ctx context.Context, h *Host, start, size int, f func(path string, start uint32, size int) error) error {
	file := "/var/lib/libvirt/qemu/" + g.UUID + ".memory" // a folder of QEMU's user, who writes it
	defer os.Remove(h.Path(file))
	// QEMU reports failure of a human's command in its output alone.
	out, err := h.Virsh(ctx, "qemu-monitor-command", g.Domain(), "--hmp", fmt.Sprintf("pmemsave %#x %#x %q", start, size, file))
	if err == nil && strings.TrimSpace(out) != "" {
		err = errors.New(out)
	}
	if err == nil {
		err = f(h.Path(file), uint32(start), size)
	}
	if err != nil {
		return fmt.Errorf("guest %s on %s: %w", g.Name, h.Name, err)
	}
	return nil
}

// checkPiece compares a file of saved memory with what belongs from address start on. What the guest
// was just filling when it was paused may be there, or not yet.
func (g *Guest) checkPiece(path string, start uint32, size int, filled uint32) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var want, got [guestPage]byte
	for page := start; page < start+uint32(size); page += guestPage {
		if _, err := io.ReadFull(f, got[:]); err != nil {
			return fmt.Errorf("read saved memory at %#x: %w", page, err)
		}
		from := 0
		switch {
		case page < uint32(g.Spec.counted()):
			from = 4 // the count
		case page >= filled && page-filled < uint32(g.Spec.GrowKiB)<<10:
			continue
		}
		if page < filled {
			g.page(&want, page)
		} else {
			clear(want[:])
		}
		if !bytes.Equal(got[from:], want[from:]) {
			for i := from; ; i++ {
				if got[i] != want[i] {
					return fmt.Errorf("%w: byte %#x is %#02x, want %#02x", ErrCorrupt, page+uint32(i), got[i], want[i])
				}
			}
		}
	}
	return nil
}

// page writes what guest.asm puts into the page at that address.
func (g *Guest) page(b *[guestPage]byte, address uint32) {
	for i := uint32(0); i < guestPage; i += 4 {
		x := (address + i) * guestMix
		binary.LittleEndian.PutUint32(b[i:], x^x>>15)
	}
	binary.LittleEndian.PutUint32(b[4:], address^guestTag)
}
