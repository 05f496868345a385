// Package rulestest gives a test a network of its own in which the kernel closes ports.
package rulestest

import (
	"os"
	"runtime"
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/proxy/intercept/rules"
	"golang.org/x/sys/unix"
)

// Close puts the test's goroutine into a network of its own, where the kernel
// closes these ports, until the test ends.
func Close(t *testing.T, first, last uint16) {
	t.Helper()
	needs.Root(t, "for a network of its own")
	runtime.LockOSThread()
	before, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer before.Close()
		if err := unix.Setns(int(before.Fd()), unix.CLONE_NEWNET); err != nil {
			t.Error(err) // and the thread ends with the goroutine
			return
		}
		runtime.UnlockOSThread()
	})
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	if _, err := rules.Up(&rules.Table{First: first, Last: last}); err != nil {
		t.Fatal(err)
	}
}
