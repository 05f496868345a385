package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// runAsBatch has the kernel schedule this process as a batch job (SCHED_BATCH): a thread that has
// something to do does not stop what runs on its processor, such as the QEMU that writes to it, but
// waits until that waits, too, or its time is up. On a busy host more is there by then, and is moved
// at once. A processor that is free takes it at once, as ever. Where the kernel refuses, as it does
// in our own units, for which systemd does this, it stays as it is.
func runAsBatch() {
	done := make(map[string]bool)
	// A thread that is made meanwhile has the policy of the one that makes it.
	for more := true; more; {
		threads, _ := os.ReadDir("/proc/self/task")
		more = false
		for _, t := range threads {
			if done[t.Name()] {
				continue
			}
			done[t.Name()], more = true, true
			if tid, err := strconv.Atoi(t.Name()); err == nil {
				batch(tid)
			}
		}
	}
}

// batch makes a thread a batch job's, unless somebody has chosen another policy for it.
func batch(thread int) {
	if attr, err := unix.SchedGetAttr(thread, 0); err == nil && attr.Policy == unix.SCHED_NORMAL {
		attr.Policy = unix.SCHED_BATCH
		unix.SchedSetAttr(thread, attr, 0)
	}
}
