package stream

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
)

// What peers borrow together is kept for as long as one of their sessions has it, and no longer.
func TestBuffersOfPeers(t *testing.T) {
	var held []*relay.Buffers
	kept := func() (n int) {
		peers.Lock()
		defer peers.Unlock()
		for i := range 100 {
			if _, is := peers.buffers[fmt.Sprintf("borrower-%d", i)]; is {
				n++
			}
		}
		return n
	}
	for i := range 100 {
		held = append(held, NewBuffers(fmt.Sprintf("borrower-%d", i)))
	}
	runtime.GC()
	if n := kept(); n != 100 {
		t.Errorf("of 100 peers with sessions %d have buffers", n)
	}
	runtime.KeepAlive(held)
	held = nil
	for late := time.Now().Add(20 * time.Second); kept() > 0; runtime.GC() {
		if time.Now().After(late) {
			t.Fatalf("%d peers without sessions have buffers", kept())
		}
	}
}
