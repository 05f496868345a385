package record

import (
	"bytes"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// Both ends change keys at once and all the time, asked and unasked, while both
// send. testSuite sees to the nonces.
func TestKeyUpdatesUnderLoad(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		a, b := pair(t, testSuite(id))
		a.keyRecords, b.keyRecords = 3, 5
		a.SetWorkers(4)
		b.SetWorkers(3)
		want := noise(3 << 20)
		var wg sync.WaitGroup
		for _, c := range []*Conn{a, b} {
			wg.Go(func() {
				for p := want; len(p) > 0; {
					n := min(len(p), 1+rand.IntN(70_000))
					mustWrite(t, c, p[:n])
					p = p[n:]
				}
				if err := c.CloseWrite(); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				got, err := io.ReadAll(c)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			})
		}
		wg.Wait()
		for _, c := range []*Conn{a, b} {
			if c.KeyUpdatesSent.Load() < 30 {
				t.Errorf("%d KeyUpdates sent", c.KeyUpdatesSent.Load())
			}
		}
	})
}

// A receiver whose peer never changes its key asks for it, though it has nothing to send itself.
func TestReceiverAsksForKey(t *testing.T) {
	a, b := pair(t, testSuite(tls.TLS_AES_128_GCM_SHA256))
	b.keyRecords = 10
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := io.ReadAll(a); err != nil {
			t.Error(err)
		}
	})
	for began := time.Now(); b.KeyUpdatesReceived.Load() < 3; {
		mustWrite(t, a, []byte("x"))
		mustRead(t, b, []byte("x"))
		if time.Since(began) > soon {
			t.Fatalf("asked %d times, answered %d times", b.KeyUpdatesSent.Load(), a.KeyUpdatesSent.Load())
		}
	}
	b.asking.Wait() // what was asked is counted after it has left
	if asked, answered := b.KeyUpdatesSent.Load(), a.KeyUpdatesSent.Load(); asked < 3 || answered < 3 {
		t.Errorf("asked %d times, answered %d times", asked, answered)
	}
	if err := b.CloseWrite(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	a.Close()
	b.Close()
}

// A receiver goes on although its peer takes nothing, not even the question for a new key.
func TestAskingDoesNotWait(t *testing.T) {
	a, b := pair(t, testSuite(tls.TLS_AES_128_GCM_SHA256))
	b.keyRecords = 10
	full := make(chan struct{})
	b.Over(wire{b.raw, b.raw, writerFunc(func([]byte) (int, error) { <-full; return 0, net.ErrClosed })})
	want := noise(30 * plainMax)
	var wg sync.WaitGroup
	wg.Go(func() { mustWrite(t, a, want) })
	b.SetReadDeadline(time.Now().Add(soon))
	mustRead(t, b, want)
	wg.Wait()
	b.raw.Close()
	close(full)
	b.Release()
	a.Close()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
