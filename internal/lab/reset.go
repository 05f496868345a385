package lab

import (
	"fmt"
	"os"
	"strings"
)

// ResetItself has the guest reset its machine after its next pass, and start anew. Nobody asks QEMU
// or libvirt for that: the order is written into the guest's memory.
func (g *Guest) ResetItself(h *Host) error {
	if g.Spec.EmptyMiB > 0 {
		return fmt.Errorf("guest %s: a reset would not empty the %d MiB that it fills", g.Name, g.Spec.EmptyMiB)
	}
	return g.write(h, guestOrder, []byte{1})
}

// write changes the guest's memory behind the back of all who watch it.
func (g *Guest) write(h *Host, address int64, bytes []byte) error {
	pids, err := h.QEMU(g.Name)
	if err == nil && len(pids) != 1 {
		err = fmt.Errorf("QEMU %v", pids)
	}
	if err != nil {
		return fmt.Errorf("guest %s on %s: %w", g.Name, h.Name, err)
	}
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pids[0]))
	if err != nil {
		return err
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pids[0]), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	for line := range strings.Lines(string(maps)) { // FROM-TO PERMISSIONS …, in hex (proc(5))
		var from, to uint64
		if n, _ := fmt.Sscanf(line, "%x-%x rw", &from, &to); n == 2 && to-from == uint64(g.Spec.MemoryMiB)<<20 {
			_, err := memory.WriteAt(bytes, int64(from)+address)
			return err
		}
	}
	return fmt.Errorf("QEMU %d of guest %s has no memory of %d MiB in one piece", pids[0], g.Name, g.Spec.MemoryMiB)
}
