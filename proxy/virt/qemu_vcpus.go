package virt

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ranTime is what no vCPU of a guest that was never resumed comes to: all that it has done is to load
// the registers that the guest came with, which takes half a millisecond. One that has run for a
// second has 30.
const ranTime = 5 * time.Millisecond

// WaitsSinceArrival says whether the guest came here by a migration, and has not run since, by the
// processor time of its vCPUs.
func (p *QEMUProcess) WaitsSinceArrival() (bool, error) {
	cmdline, err := os.ReadFile(p.proc("cmdline"))
	if err != nil {
		return false, p.gone(err)
	}
	// Where libvirt restores a saved guest there is "fd:" and a number, and QEMU opens the images.
	args := strings.Split(string(cmdline), "\x00")
	if i := slices.Index(args, "-incoming"); i < 0 || i+1 == len(args) || args[i+1] != "defer" {
		return false, nil
	}
	tasks, err := os.ReadDir(p.proc("task"))
	if err != nil {
		return false, p.gone(err)
	}
	seen := false
	for _, t := range tasks {
		name, err := os.ReadFile(p.proc("task", t.Name(), "comm"))
		if err != nil || !isVCPU(strings.TrimSpace(string(name))) {
			continue // it may have ended
		}
		// In nanoseconds, before two other figures (Documentation/scheduler/sched-stats.rst).
		raw, err := os.ReadFile(p.proc("task", t.Name(), "schedstat"))
		if err != nil {
			return false, p.gone(err)
		}
		figure, _, _ := strings.Cut(string(raw), " ")
		ran, err := strconv.ParseInt(figure, 10, 64)
		if err != nil {
			return false, fmt.Errorf("processor time of QEMU's thread %s: %w", t.Name(), err)
		}
		if time.Duration(ran) >= ranTime {
			return false, nil
		}
		seen = true
	}
	if !seen {
		return false, fmt.Errorf("QEMU (process %d) has no thread with the name of a vCPU", p.PID)
	}
	return true, p.alive()
}

// isVCPU tells a vCPU's thread by its name, as libvirt has QEMU name threads (debug-threads=on):
// "CPU 0/KVM", and "CPU 0/TCG" or "ALL CPUs/TCG" without KVM.
func isVCPU(thread string) bool {
	return (strings.HasPrefix(thread, "CPU ") || strings.HasPrefix(thread, "ALL CPUs")) && (strings.HasSuffix(thread, "/KVM") || strings.HasSuffix(thread, "/TCG"))
}
