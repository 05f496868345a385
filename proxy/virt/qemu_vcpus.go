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
	ran, err := p.Ran()
	return err == nil && ran < ranTime, err
}

// Ran is the processor time of the vCPU that has had the most.
func (p *QEMUProcess) Ran() (most time.Duration, err error) {
	tasks, err := os.ReadDir(p.proc("task"))
	if err != nil {
		return 0, p.gone(err)
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
			return 0, p.gone(err)
		}
		figure, _, _ := strings.Cut(string(raw), " ")
		ran, err := strconv.ParseInt(figure, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("processor time of QEMU's thread %s: %w", t.Name(), err)
		}
		most, seen = max(most, time.Duration(ran)), true
	}
	if !seen {
		return 0, fmt.Errorf("QEMU (process %d) has no thread with the name of a vCPU", p.PID)
	}
	return most, p.alive()
}

// HasRun says whether a guest whose vCPUs had run for so long has been running since.
func (p *QEMUProcess) HasRun(since time.Duration) (bool, error) {
	ran, err := p.Ran()
	return err == nil && ran-since >= ranTime, err
}

// isVCPU tells a vCPU's thread by its name, as libvirt has QEMU name threads (debug-threads=on):
// "CPU 0/KVM", and "CPU 0/TCG" or "ALL CPUs/TCG" without KVM.
func isVCPU(thread string) bool {
	return (strings.HasPrefix(thread, "CPU ") || strings.HasPrefix(thread, "ALL CPUs")) && (strings.HasSuffix(thread, "/KVM") || strings.HasSuffix(thread, "/TCG"))
}
