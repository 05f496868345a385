package record

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"os"
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
