package libvirtrpc

import (
	"context"
	"strings"
	"testing"
)

// memory is so many bytes.
type memory struct{ left chan int }

func (m memory) Take(n int) bool {
	left := <-m.left
	defer func() { m.left <- left }()
	if n > left {
		return false
	}
	left -= n
	return true
}

func (m memory) Give(n int) { m.left <- <-m.left + n }

// Calls are held while there is memory for them, and it is given back.
func TestMemory(t *testing.T) {
	const all = 3 * bufferSize
	m := memory{make(chan int, 1)}
	m.left <- all
	rules := &awaitingRules{held: make(chan struct{}, 1), release: make(chan struct{})}
	r := &rig{ended: make(chan error, 1)}
	near, far := r.connect(t)
	c := &Conversation{Client: near, Server: far, Rules: rules, Memory: m}
	go func() { r.ended <- c.Run(context.Background()) }()
	long := string(make([]byte, 2*bufferSize))
	go r.client.Write(append(append(call(1000, 1, long), call(1000, 2, long)...), call(5, 3, long)...))
	h, body := readPacket(t, r.client)
	if e, err := DecodeError(body); err != nil || h.Serial != 2 || h.Status != StatusError || !strings.Contains(e.Message, "limits.peer_memory") {
		t.Errorf("%+v %v %v", h, e, err)
	}
	// What is not held takes none.
	if h, _ := readPacket(t, r.server); h.Serial != 3 {
		t.Errorf("%+v", h)
	}
	<-rules.held
	close(rules.release)
	if h, body := readPacket(t, r.server); h.Serial != 1 || string(body) != long {
		t.Errorf("%+v", h)
	}
	r.client.Close()
	r.server.Close()
	<-r.ended
	if left := <-m.left; left != all {
		t.Errorf("%d bytes of %d are left", left, all)
	}
}
