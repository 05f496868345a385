package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
)

// DiskPath returns the path, on either host, of the guest's disk number i, counted from 0.
func (g *Guest) DiskPath(i int) string {
	return fmt.Sprintf("/var/lib/libvirt/images/%s-%d.raw", g.Name, i)
}

// CreateDisk makes an empty disk of that many MiB at a path on the host, such as --copy-storage-all
// wants to find at the destination.
func (h *Host) CreateDisk(path string, mib int) error {
	return h.writeDisk(path, mib, nil)
}

// CreateDisks makes an empty disk on the host for each that the guest has.
func (g *Guest) CreateDisks(h *Host) error {
	for i, mib := range g.Spec.DisksMiB {
		if err := h.CreateDisk(g.DiskPath(i), mib); err != nil {
			return err
		}
	}
	return nil
}

// fillDisks makes the guest's disks on the host, with random content.
func (g *Guest) fillDisks(h *Host) error {
	for i, mib := range g.Spec.DisksMiB {
		var seed [32]byte
		rand.Read(seed[:])
		if err := h.writeDisk(g.DiskPath(i), mib, mathrand.NewChaCha8(seed)); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) writeDisk(path string, mib int, content io.Reader) error {
	f, err := os.Create(h.Path(path))
	if err != nil {
		return fmt.Errorf("%s: create disk: %w", h.Name, err)
	}
	defer f.Close()
	size := int64(mib) << 20
	if err := f.Truncate(size); err != nil {
		return fmt.Errorf("%s: create disk: %w", h.Name, err)
	}
	if content != nil {
		if _, err := io.CopyN(f, content, size); err != nil {
			return fmt.Errorf("%s: fill disk: %w", h.Name, err)
		}
	}
	return f.Close()
}

// CompareDisks returns an error that says where the guest's disks on the two hosts differ, if they
// do. The guest has no need to be paused: it does not write to them.
func (l *Lab) CompareDisks(ctx context.Context, g *Guest) error {
	for i := range g.Spec.DisksMiB {
		if err := l.compareFiles(ctx, g.DiskPath(i)); err != nil {
			return fmt.Errorf("guest %s: disk %d: %w", g.Name, i, err)
		}
	}
	return nil
}

func (l *Lab) compareFiles(ctx context.Context, path string) error {
	a, err := os.Open(l.A.Path(path))
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := os.Open(l.B.Path(path))
	if err != nil {
		return err
	}
	defer b.Close()
	bufA, bufB := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); ; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, errA := io.ReadFull(a, bufA)
		m, errB := io.ReadFull(b, bufB)
		if n != m {
			return fmt.Errorf("sizes differ: %s has %d bytes more from %d on", l.longer(n, m).Name, max(n, m)-min(n, m), at)
		}
		if !bytes.Equal(bufA[:n], bufB[:m]) {
			for i := range n {
				if bufA[i] != bufB[i] {
					return fmt.Errorf("contents differ from byte %d on", at+int64(i))
				}
			}
		}
		at += int64(n)
		if errA != nil || errB != nil {
			return errors.Join(ignoreEnd(errA), ignoreEnd(errB))
		}
	}
}

func (l *Lab) longer(a, b int) *Host {
	if a > b {
		return l.A
	}
	return l.B
}

func ignoreEnd(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}
