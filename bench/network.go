package bench

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// congestion is what the relays' TCP connections use. BBR, which some machines
// have for their default, paces loopback.
const congestion = "reno"

// launcher starts the relays in a network of their own, so that TCP can be set
// for all of them. It is one thread, for a network namespace is a thread's.
type launcher struct {
	requests chan func()
	where    string // in words
}

// newLauncher starts relays in a network of their own if it can and should.
func newLauncher(own bool) *launcher {
	l := &launcher{requests: make(chan func())}
	ready := make(chan struct{})
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if !own {
			l.where = "this machine's network, TCP congestion control " + sysctl("tcp_congestion_control")
		} else if err := ownNetwork(); err != nil {
			l.where = fmt.Sprintf("this machine's own network, TCP congestion control %s (a network of its own takes root: %v)", sysctl("tcp_congestion_control"), err)
		} else {
			l.where = fmt.Sprintf("loopback of a network namespace, TCP congestion control %s", sysctl("tcp_congestion_control"))
		}
		close(ready)
		for f := range l.requests {
			f()
		}
	}()
	<-ready
	return l
}

func (l *launcher) close() { close(l.requests) }

// start starts cmd. It ends with the launcher at the latest.
func (l *launcher) start(cmd *exec.Cmd) (err error) {
	done := make(chan struct{})
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	l.requests <- func() {
		err = cmd.Start()
		close(done)
	}
	<-done
	return err
}

// ownNetwork moves this thread into a new network whose loopback is up.
func ownNetwork() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return err
	}
	return os.WriteFile(sysctlPath+"tcp_congestion_control", []byte(congestion), 0)
}

const sysctlPath = "/proc/sys/net/ipv4/"

func sysctl(name string) string {
	text, _ := os.ReadFile(sysctlPath + name)
	return strings.TrimSpace(string(text))
}
