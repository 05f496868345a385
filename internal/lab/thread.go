package lab

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// hostNamespaces are those that a host has of its own. Users are the machine's.
const hostNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// A thread is one OS thread that has entered all of a host's namespaces, and runs there what it is
// given, one function at a time. What a function opens, dials or listens on is the host's, and a
// process that it starts is the host's: a direct child of this process, not one of a wrapper, so
// that signals, exit status and killing are those of any child.
type thread struct {
	work chan func()
	quit chan struct{} // closed by close
	done chan struct{} // closed when the thread has left
}

// errClosed says that the lab was taken down or left.
var errClosed = errors.New("the lab is closed")

// enter starts a thread in the namespaces of the process that pidfd names.
func enter(pidfd int) (*thread, error) {
	t := &thread{work: make(chan func()), quit: make(chan struct{}), done: make(chan struct{})}
	entered := make(chan error)
	go t.run(pidfd, entered)
	if err := <-entered; err != nil {
		return nil, err
	}
	return t, nil
}

func (t *thread) run(pidfd int, entered chan<- error) {
	defer close(t.done)
	// Never unlocked: the runtime then destroys the thread when this function returns, instead of
	// running other goroutines in the host.
	runtime.LockOSThread()
	// The kernel lets only a thread that shares its root and working folder with no other enter a
	// mount namespace (setns(2)).
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		entered <- os.NewSyscallError("unshare", err)
		return
	}
	if err := unix.Setns(pidfd, hostNamespaces); err != nil {
		entered <- os.NewSyscallError("setns", err)
		return
	}
	entered <- nil
	for {
		select {
		case f := <-t.work:
			f()
		case <-t.quit:
			return
		}
	}
}

// close ends the thread after the function that it is running. It is called once.
func (t *thread) close() {
	close(t.quit)
	<-t.done
}

// do runs f on the thread and returns its error.
func (t *thread) do(f func() error) (err error) {
	finished := make(chan struct{})
	work := func() {
		defer close(finished)
		err = f()
	}
	select {
	case <-t.done:
		return errClosed
	case t.work <- work:
	}
	<-finished
	return err
}
