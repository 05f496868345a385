package relay

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
)

// Many chains at once; some are stopped or lose an application on the way. The
// others lose nothing, and all end.
func TestChainsAtRandom(t *testing.T) {
	eachHop(t, func(t *testing.T, h hop) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() { chainAtRandom(t, h, rand.New(rand.NewPCG(7, uint64(i)))) })
		}
		wg.Wait()
	})
}

func chainAtRandom(t *testing.T, h hop, r *rand.Rand) {
	c := h.start(t)
	data := [2][]byte{noise(1 + r.IntN(1<<r.IntN(24))), noise(1 + r.IntN(1<<r.IntN(24)))}
	stopped := errors.New("stopped by the test")
	disturb := map[int]func(){
		0: func() { c.cancel[r.IntN(2)](stopped) },
		1: func() { c.link[r.IntN(2)].Close() },
		2: func() { c.app[r.IntN(2)].Close() },
	}[r.IntN(6)]
	at := r.IntN(len(data[0]))
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			_, err := c.app[i].Write(data[i])
			if err != nil && disturb == nil {
				t.Error(err)
			}
			closeWrite(c.app[i])
		})
		wg.Go(func() {
			b := make([]byte, len(data[1-i])+1)
			got := 0
			if i == 1 && disturb != nil {
				got, _ = io.ReadFull(c.app[i], b[:at])
				disturb()
			}
			n, err := io.ReadFull(c.app[i], b[got:])
			got += n
			if disturb == nil && (err != io.ErrUnexpectedEOF || !bytes.Equal(b[:got], data[1-i])) {
				t.Errorf("%d of %d bytes: %v", got, len(data[1-i]), err)
			}
			if disturb != nil {
				c.app[i].Close()
			}
		})
	}
	wg.Wait()
	for i := range 2 {
		if r := c.wait(t, i); disturb == nil && r.Err != nil {
			t.Error(r.Err)
		}
	}
	c.close(t)
}
