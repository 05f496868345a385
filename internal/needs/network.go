package needs

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Addresses of the two ends of a Link.
const (
	Here4, Here6   = "192.0.2.1", "fd5c:1ab::1"
	There4, There6 = "192.0.2.2", "fd5c:1ab::2"
)

// Network puts the test's goroutine into a network of its own, which ends with its thread.
func Network(t testing.TB) {
	t.Helper()
	Root(t, "for a network of its own")
	Program(t, "nft", "ip")
	runtime.LockOSThread() // for good: the thread ends with the goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	Run(t, "", "ip", "link", "set", "lo", "up")
}

// Link makes a second network, linked to the goroutine's, and returns what runs functions there.
func Link(t testing.TB) (there func(f func())) {
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
	Run(t, "", "ip", "link", "add", "here", "type", "veth", "peer", "name", "there", "netns", <-netns)
	up := "link set lo up\nlink set %[1]s up\naddr add %[2]s/24 dev %[1]s\naddr add %[3]s/64 dev %[1]s nodad\n"
	Run(t, fmt.Sprintf(up, "here", Here4, Here6), "ip", "-batch", "-")
	there(func() { Run(t, fmt.Sprintf(up, "there", There4, There6), "ip", "-batch", "-") })
	return there
}

// Run runs a program in the goroutine's network.
func Run(t testing.TB, stdin, name string, args ...string) string {
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
