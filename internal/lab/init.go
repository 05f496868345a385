package lab

import (
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// initName is argv[0] of a host's pid 1. The arguments after it are the lab's name, the host's
// name, persistArg or boundArg, and the folder of its root, empty for the machine's.
const (
	initName   = "sluice-lab-init"
	persistArg = "persistent"
	boundArg   = "bound"
)

// File descriptors that a host's pid 1 inherits: it writes one report on readyFD, and ends when
// lifelineFD reaches its end.
const (
	readyFD    = 3
	lifelineFD = 4
)

// init takes over the process when it was started as a host's pid 1. It cannot be left to main or
// TestMain to call: a test binary that forgot to would run its tests again in each host, without
// end.
func init() {
	if len(os.Args) == 5 && os.Args[0] == initName {
		os.Exit(runInit(os.Args[2], os.Args[3] == persistArg, os.Args[4]))
	}
}

// runInit is pid 1 of a host. The kernel kills every other process of the host when it returns.
func runInit(host string, persist bool, root string) int {
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGPIPE)

	ready := os.NewFile(readyFD, "ready")
	if err := setUpHost(host, root); err != nil {
		fmt.Fprintf(ready, "%v", err)
		return 1
	}
	fmt.Fprint(ready, readyReport)
	ready.Close()

	parentGone := make(chan struct{})
	if !persist {
		// A pipe and not PR_SET_PDEATHSIG, which tells of the death of the thread that forked, not
		// of its process.
		go func() {
			io.Copy(io.Discard, os.NewFile(lifelineFD, "lifeline"))
			close(parentGone)
		}()
	}
	for {
		select {
		case <-parentGone:
			return 0
		case <-children:
			reap()
		}
	}
}

// reap collects every child that has ended. Without it libvirtd waits 40 s for each QEMU that it
// has killed, because a process counts as running for as long as it is a zombie.
func reap() {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
	}
}
