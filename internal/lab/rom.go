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
	guestGrown = 0x7008
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
	args := []string{"-f", "bin", "-o", path}
	for name, value := range spec.parameters() {
		args = append(args, fmt.Sprintf("-D%s=%d", name, value))
	}
	out, err := exec.CommandContext(ctx, lookPath("nasm"), append(args, source)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: assemble the guest's firmware: %w: %s", h.Name, err, bytes.TrimSpace(out))
	}
	return nil
}

// parameters are those of guest.asm.
func (s *GuestSpec) parameters() map[string]int {
	return map[string]int{
		"MEMORY": s.MemoryMiB << 20,
		"WINDOW": s.DirtyMiB << 20,
		"SPREAD": s.SpreadKiB << 10,
		"EMPTY":  s.EmptyMiB << 20,
		"GROW":   s.GrowKiB << 10,
		"BURST":  max(s.BurstPasses, 1),
		"REST":   s.RestPasses,
		"HZ":     s.ticks(),
		"PERIOD": s.Beats / s.PassesPerSecond,
	}
}
