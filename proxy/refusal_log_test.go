package proxy

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// However many connections are refused, and however long the words of strangers, the log stays short.
func TestRefusalLogIsShort(t *testing.T) {
	var out bytes.Buffer
	l := &refusalLog{log: zerolog.New(&out)}
	from := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 66), Port: 1}
	for range 10_000 {
		l.add(from, errors.New(strings.Repeat("ü", 1<<16)))
	}
	if n := strings.Count(out.String(), "\n"); n != refusalLines {
		t.Errorf("%d lines", n)
	}
	if n := out.Len(); n > refusalLines*(refusalText+300) {
		t.Errorf("%d bytes", n)
	}
	out.Reset()
	for i := range 3 * refusalAddresses {
		l.add(&net.TCPAddr{IP: net.IPv4(10, 0, byte(i>>8), byte(i))}, errors.New("no"))
	}
	if len(l.by) > refusalAddresses+1 {
		t.Errorf("%d addresses are told apart", len(l.by))
	}
}
