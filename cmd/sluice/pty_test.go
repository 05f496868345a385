package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/stand"
)

// terminal is a pseudo-terminal with a command at its far end.
type terminal struct {
	t      *testing.T
	master *os.File
	cmd    *exec.Cmd

	stand.Transcript
	read chan struct{} // closed when the far end is closed
}

// onTerminal runs sluice on a terminal of so many columns, which is its
// controlling one, so that what is typed there arrives as it does in life.
func onTerminal(t *testing.T, columns int, args ...string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	// A pts is locked until its master says otherwise (ptmx(4)).
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(columns)}); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, master: master, cmd: exec.Command("sluice", args...), read: make(chan struct{})}
	term.cmd.Stdin, term.cmd.Stdout, term.cmd.Stderr = slave, slave, slave
	term.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := term.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	go func() {
		defer close(term.read)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf) // EIO once the far end is closed
			term.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		term.cmd.Process.Kill()
		<-term.read
		master.Close()
	})
	return term
}

func (term *terminal) await(text string) {
	term.t.Helper()
	if _, ok := term.Line(10*time.Second, text); !ok {
		term.t.Fatalf("%q does not appear; the terminal got\n%q", text, term.Text())
	}
}

func (term *terminal) ctrlC() { term.master.Write([]byte{3}) }

// wait is the exit status, after all output has been read.
func (term *terminal) wait() int {
	term.t.Helper()
	err := make(chan error, 1)
	go func() { err <- term.cmd.Wait() }()
	select {
	case <-err:
	case <-time.After(20 * time.Second):
		term.t.Fatalf("sluice does not end; the terminal got\n%q", term.Text())
	}
	<-term.read
	return term.cmd.ProcessState.ExitCode()
}

// startStandin runs the daemon's stand-in until the test ends.
func startStandin(t *testing.T) (socket string) {
	t.Helper()
	socket = filepath.Join(stand.Folder(t), "s")
	cmd := exec.Command("standin", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if !appears(socket) {
		t.Fatal("the stand-in does not start")
	}
	return socket
}

// appears waits for a file, of which nothing tells but looking.
func appears(path string) bool {
	late := time.After(10 * time.Second)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		if _, err := os.Stat(path); err == nil {
			return true
		}
		select {
		case <-look.C:
		case <-late:
			return false
		}
	}
}
