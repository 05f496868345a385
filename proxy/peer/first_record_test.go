package peer

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// FuzzFirstRecord: whatever a stranger's first bytes are, they are looked at and left there, and a
// record that claims more than comes before the end is waited for no longer.
func FuzzFirstRecord(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x00\x00\x00\x10"))
	f.Add([]byte("\x16\x03\x01\x00\x05hello"))
	f.Add([]byte("\x16\x03\x01\x40\x00hello"))
	f.Add([]byte("\x16\x03\x01\xff\xff"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Close() })
	f.Fuzz(func(t *testing.T, says []byte) {
		var far errgroup.Group
		far.Go(func() error {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				return err
			}
			defer c.Close()
			c.(*net.TCPConn).SetLinger(0) // or the ports run out
			if _, err := c.Write(says); err != nil {
				return err
			}
			if err := c.(*net.TCPConn).CloseWrite(); err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, c)
			return err
		})
		near, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer far.Wait()
		defer near.Close()
		first, err := firstRecord(context.Background(), near.(*net.TCPConn))
		switch {
		case len(says) == 0 && err == nil:
			t.Errorf("%#x came out of nothing", first)
		case len(says) > 0 && err == nil && !strings.HasPrefix(string(says), string(first)):
			t.Errorf("%#x in place of the beginning of %#x", first, says)
		case len(says) > 0 && err != nil && says[0] != firstOfTLS:
			t.Errorf("%q: %v", says, err)
		case len(says) >= tlsHeader && err != nil && len(says)-tlsHeader >= int(binary.BigEndian.Uint16(says[3:])):
			t.Errorf("a whole record gives %v", err)
		}
		if left, _ := io.ReadAll(near); string(left) != string(says) {
			t.Errorf("%q is left of %q", left, says)
		}
	})
}
