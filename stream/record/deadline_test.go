package record

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// A deadline that stops a KeyUpdate ends nothing: it leaves with the next Write, whoever was to send
// it.
func TestDeadlineAtKeyUpdate(t *testing.T) {
	for name, update := range map[string]func(t *testing.T, c *Conn){
		"asking for a key": func(_ *testing.T, c *Conn) {
			c.askForKey()
			c.asking.Wait()
		},
		"UpdateKey": func(t *testing.T, c *Conn) {
			if err := c.UpdateKey(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("UpdateKey: %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachSuite(t, func(t *testing.T, id uint16) {
				a, b := pair(t, testSuite(id))
				if err := a.SetWriteDeadline(time.Unix(1, 0)); err != nil {
					t.Fatal(err)
				}
				update(t, a)
				if a.KeyUpdatesSent.Load() != 1 {
					t.Fatalf("%d KeyUpdates were begun", a.KeyUpdatesSent.Load())
				}
				if err := a.SetWriteDeadline(time.Time{}); err != nil {
					t.Fatal(err)
				}
				var wg sync.WaitGroup
				wg.Go(func() { mustWrite(t, a, []byte("after")) })
				mustRead(t, b, []byte("after"))
				wg.Wait()
				if b.KeyUpdatesReceived.Load() != 1 {
					t.Errorf("%d KeyUpdates have arrived", b.KeyUpdatesReceived.Load())
				}
			})
		})
	}
}

// Bytes that a deadline stopped half-way leave later, once.
func TestDeadlineLosesNothing(t *testing.T) {
	a, b := pair(t, testSuite(tls.TLS_AES_128_GCM_SHA256))
	var want []byte
	stopped := 0
	for i := 0; stopped < 3; i++ {
		p := bytes.Repeat([]byte{byte(i)}, 300_000)
		a.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
		n, err := a.Write(p)
		want = append(want, p[:n]...)
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		stopped++
	}
	a.SetWriteDeadline(time.Time{})
	var wg sync.WaitGroup
	wg.Go(func() {
		mustWrite(t, a, []byte("end"))
		a.CloseWrite()
	})
	got, err := io.ReadAll(b)
	wg.Wait()
	if want = append(want, "end"...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v, want %d, unchanged", len(got), err, len(want))
	}
	b.Close()
}

// The same where another sends, of which nothing has left: the question goes before its next data.
func TestDeadlineAtSealersKeyUpdate(t *testing.T) {
	a, b := pair(t, testSuite(tls.TLS_AES_128_GCM_SHA256))
	defer b.Close()
	defer a.Close()
	s := &lateSealer{late: true}
	if err := a.HandOverSending(s); err != nil {
		t.Fatal(err)
	}
	a.askForKey()
	a.asking.Wait()
	if len(s.sent) > 0 || a.KeyUpdatesSent.Load() > 0 {
		t.Fatalf("%d records have left, %d KeyUpdates were sent", len(s.sent), a.KeyUpdatesSent.Load())
	}
	s.late = false
	if err := a.SendBy(1, func() error {
		s.sent = append(s.sent, "data")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"\x18\x00\x00\x01\x01", "data"}; !slices.Equal(s.sent, want) || s.keys != 2 {
		t.Errorf("sent %q with %d keys, want %q with 2", s.sent, s.keys, want)
	}
}

// lateSealer is a Sealer that keeps what it is to send, unless its deadline is over.
type lateSealer struct {
	late bool
	sent []string
	keys int
}

func (s *lateSealer) SetKey(Key) error      { s.keys++; return nil }
func (s *lateSealer) Rekeys() bool          { return true }
func (s *lateSealer) Next() (uint64, error) { return uint64(len(s.sent)), nil }
func (s *lateSealer) Control(_ byte, content []byte) error {
	if s.late {
		return os.ErrDeadlineExceeded
	}
	s.sent = append(s.sent, string(content))
	return nil
}
