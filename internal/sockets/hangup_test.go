package sockets

import (
	"net"
	"path/filepath"
	"testing"
)

func TestHungUp(t *testing.T) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write([]byte("a call")); err != nil {
		t.Fatal(err)
	}
	if HungUp(server) {
		t.Error("both ends are open")
	}
	client.Close()
	if !HungUp(server) {
		t.Error("the end is not seen behind what is left to read")
	}
	server.Close()
	if !HungUp(server) {
		t.Error("it is closed here")
	}
}
