package lab

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
)

// Memory layout of guest.asm.
const (
	guestBase = 1 << 20
	guestPage = 4096
	guestMix  = 0x9E3779B1
	guestTag  = 0x51C1CE00

	guestOrder = 0x6000
)

//go:embed guest.asm
var guestASM string

// writeROM assembles the guest's firmware into the host's file path. The machine's nasm does, as
// roots have none.
func (h *Host) writeROM(ctx context.Context, path string, spec GuestSpec) error {
	// nasm reads its source more than once, so it has to be a file.
	path = h.Path(path)
	source := path + ".asm"
	if err := os.WriteFile(source, []byte(guestASM), 0o644); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	defer os.Remove(source)
	out, err := exec.CommandContext(ctx, lookPath("nasm"), "-f", "bin", "-o", path,
		fmt.Sprintf("-DMEMORY=%d", spec.MemoryMiB<<20),
		fmt.Sprintf("-DWINDOW=%d", spec.DirtyMiB<<20),
		fmt.Sprintf("-DHZ=%d", spec.ticks()),
		source).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: assemble the guest's firmware: %w: %s", h.Name, err, bytes.TrimSpace(out))
	}
	return nil
}
