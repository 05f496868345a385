package peer

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/stream"
)

// A ClientHello names its session, by a mark that is not the ID, and nothing else passes for one.
func TestMarkIn(t *testing.T) {
	id := stream.NewID()
	for _, c := range []struct {
		name   string
		offers []string
		want   string
	}{
		{"a channel of a session", []string{ALPN, mark(id)}, SessionMark(id)},
		{"a question", []string{ALPN}, ""},
		{"libvirt's client", nil, ""},
		{"a session without sluice's protocol", []string{mark(id)}, ""},
		{"a mark of the wrong length", []string{ALPN, sessionProtocol + "abc"}, ""},
	} {
		hello := clientHello(t, c.offers)
		if got := MarkIn(hello); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		for n := range hello {
			if got := MarkIn(hello[:n]); got != "" {
				t.Fatalf("%s, cut off after %d bytes: %q", c.name, n, got)
			}
		}
	}
}

// clientHello is the first record of a client that offers these protocols.
func clientHello(t *testing.T, offers []string) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer far.Close()
	c := tls.Client(near, &tls.Config{InsecureSkipVerify: true, NextProtos: offers}) // nobody answers: its first record is all that is wanted
	done := make(chan error, 1)
	go func() { done <- c.Handshake() }()
	buf := make([]byte, 1<<14)
	far.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := far.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	near.Close()
	<-done
	return buf[:n]
}
