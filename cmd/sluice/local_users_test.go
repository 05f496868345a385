package main

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/needs"
)

// dialAs opens connections as a user, whose uid the thread has that makes them, and returns those
// that are still open a while after.
func dialAs(t *testing.T, uid, n int, socket string) (open []net.Conn) {
	t.Helper()
	made := make(chan []net.Conn)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		if _, _, err := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); err != 0 {
			t.Error(err)
		}
		var all []net.Conn
		for range n {
			// Not by package net, whose goroutines change threads where the backlog is full.
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err == nil {
				if err = unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
					unix.Close(fd)
				}
			}
			if err != nil {
				t.Error(err)
				break
			}
			f := os.NewFile(uintptr(fd), socket)
			c, err := net.FileConn(f)
			f.Close()
			if err != nil {
				t.Error(err)
				break
			}
			all = append(all, c)
		}
		made <- all
	}()
	all := <-made
	t.Cleanup(func() {
		for _, c := range all {
			c.Close()
		}
	})
	for _, c := range all {
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) {
			open = append(open, c)
		}
	}
	return open
}

// Users of the host cannot keep root from sluice, whether they may use it or not.
func TestLocalUsersHoldNoDescriptors(t *testing.T) {
	needs.Root(t, "for connections of other users")
	dir, config := site(t)
	// All may get at the sockets, whose folder lies in one of root's.
	for _, d := range []string{dir, filepath.Join(dir, "run")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const allowed, stranger, files = 4243, 4242, 900
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, append([]byte("users = ['4243']\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	daemon := exec.Command("prlimit", "--nofile=900", "sluice", "serve", "--config", config)
	daemon.Stderr = log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer daemon.Wait()
	defer daemon.Process.Kill()
	control := filepath.Join(dir, "run/control.sock")
	libvirt := filepath.Join(dir, "run/peers/host-b/libvirt.sock")
	status := func() {
		t.Helper()
		asked := time.Now()
		if out, err := exec.Command("sluice", "status", "--socket", control).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		t.Logf("status after %v", time.Since(asked))
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) { // asks again: the daemon tells nobody when there is room
		if exec.Command("sluice", "status", "--socket", control).Run() == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the daemon does not start")
		}
	}
	for _, socket := range []string{control, libvirt} {
		if open := dialAs(t, stranger, files, socket); len(open) > 16 {
			t.Errorf("a stranger holds %d connections to %s", len(open), socket)
		}
		status()
	}
	if open := dialAs(t, allowed, files/2, control); len(open) != 256 {
		t.Errorf("a user holds %d connections", len(open))
	}
	status()
	said, err := os.ReadFile(log.Name())
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(said), "refused"); n == 0 || n > 10 {
		t.Errorf("the log has %d lines of refusals:\n%s", n, said)
	}
}
