package handover

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// Where only the process before this one listened, nobody is left to wait once this one serves.
func TestNotAskedFor(t *testing.T) {
	first := NewSockets()
	defer first.Close()
	open := func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }
	l, err := first.Listen("old", open)
	if err != nil {
		t.Fatal(err)
	}
	file, err := duplicate(l.(*listener).Listener)
	if err != nil {
		t.Fatal(err)
	}
	second := NewSockets()
	defer second.Close()
	second.inherit("old", file)
	if _, err := second.Listen("new", open); err != nil {
		t.Fatal(err)
	}
	first.StopAccepting()
	first.Retain(second.Names())
	waiting, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatalf("nobody queues who connects: %v", err)
	}
	defer waiting.Close()
	second.Accept()
	if _, err := waiting.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("who has connected is told %v", err)
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("who connects waits")
	}
}
