package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// Whoever writes to the socket for the daemon's words to systemd can leave no descriptors behind.
func TestNotificationWithDescriptor(t *testing.T) {
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: filepath.Join(t.TempDir(), "notify")})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	t.Setenv("NOTIFY_SOCKET", systemd.LocalAddr().String())
	daemon := exec.Command("true")
	notes, err := notificationsOf(daemon)
	if err != nil {
		t.Fatal(err)
	}
	passed := make(chan struct{})
	go func() {
		defer close(passed)
		passNotifications(notes, os.Getpid(), zerolog.Nop())
	}()
	defer func() {
		notes.Close()
		<-passed
	}()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	i := len(daemon.Env) - 1
	to, _ := strings.CutPrefix(daemon.Env[i], "NOTIFY_SOCKET=")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, _, err := c.WriteMsgUnix([]byte("READY=1"), unix.UnixRights(int(w.Fd())), &net.UnixAddr{Net: "unixgram", Name: to}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	systemd.SetReadDeadline(time.Now().Add(10 * time.Second))
	text := make([]byte, 100)
	if n, err := systemd.Read(text); string(text[:n]) != "READY=1" || err != nil {
		t.Errorf("%q, %v", text[:n], err)
	}
	r.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := r.Read(text); err != io.EOF {
		t.Errorf("the descriptor is still open: %v", err)
	}
}
