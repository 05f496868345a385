package rules

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/needs"
)

// Addresses of the two ends of a link.
const (
	here4, here6   = "192.0.2.1", "fd5c:1ab::1"
	there4, there6 = "192.0.2.2", "fd5c:1ab::2"
)

// alone puts the test's goroutine into a network of its own, which ends with its thread.
func alone(t *testing.T) {
	t.Helper()
	needs.Root(t, "for a network of its own")
	needs.Program(t, "nft", "ip")
	runtime.LockOSThread() // for good: the thread ends with the goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	run(t, "", "ip", "link", "set", "lo", "up")
}

// link makes a second network, linked to the goroutine's, and returns what runs functions there.
func link(t *testing.T) (there func(f func())) {
	t.Helper()
	work, netns := make(chan func()), make(chan string)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			panic(err) // not the test's goroutine, which alone may end it
		}
		netns <- fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		for f := range work {
			f()
		}
	}()
	t.Cleanup(func() { close(work) })
	there = func(f func()) {
		done := make(chan struct{})
		work <- func() { f(); close(done) }
		<-done
	}
	run(t, "", "ip", "link", "add", "here", "type", "veth", "peer", "name", "there", "netns", <-netns)
	up := "link set lo up\nlink set %[1]s up\naddr add %[2]s/24 dev %[1]s\naddr add %[3]s/64 dev %[1]s nodad\n"
	run(t, fmt.Sprintf(up, "here", here4, here6), "ip", "-batch", "-")
	there(func() { run(t, fmt.Sprintf(up, "there", there4, there6), "ip", "-batch", "-") })
	return there
}

// beside runs f on another thread in the goroutine's network, until the test ends.
func beside(t *testing.T, f func()) {
	t.Helper()
	netns, err := os.Open(fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid()))
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	stop := make(chan struct{})
	running.Go(func() {
		defer netns.Close()
		runtime.LockOSThread()
		if err := unix.Setns(int(netns.Fd()), unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		for {
			select {
			case <-stop:
				return
			default:
				f()
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		running.Wait()
	})
}

// run runs a program in the goroutine's network.
func run(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &errs)
	}
	return out.String()
}

// unprivileged takes from the goroutine's thread what changes networks.
func unprivileged(t *testing.T) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Fatal(err)
	}
}
