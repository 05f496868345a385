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
// be, but for the counts that the guest itself checks at each pass. The guest may be running or
// paused. An error that wraps ErrCorrupt says where they differ.
func (g *Guest) CheckMemory(ctx context.Context, h *Host) error {
	if g.Spec.UEFI {
		return g.checkDigest(ctx, h)
	}
	return g.saveAll(ctx, h, g.checkPiece)
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

// checkPiece compares a file of saved memory with what belongs from address start on.
func (g *Guest) checkPiece(path string, start uint32, size int) error {
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
		g.page(&want, page)
		from := 0
		if page < guestBase+uint32(g.Spec.DirtyMiB)<<20 {
			from = 4 // the count
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
