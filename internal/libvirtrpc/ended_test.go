package libvirtrpc

import (
	"context"
	"io"
	"testing"
)

// Ended is told of a daemon that ends the connection by itself, and of no other.
func TestEnded(t *testing.T) {
	for name, c := range map[string]struct {
		client func(*rig)
		want   bool
	}{
		"daemon":                    {func(*rig) {}, true},
		"client asks for the end":   {func(r *rig) { r.client.Write(call(procConnectClose, 1, "")); readPacket(t, r.server) }, false},
		"client closes for writing": {func(r *rig) { r.client.CloseWrite(); io.Copy(io.Discard, r.server) }, false},
	} {
		r := &rig{ended: make(chan error, 1)}
		near, far := r.connect(t)
		told := false
		conversation := &Conversation{Client: near, Server: far, Rules: testRules{}, Ended: func() { told = true }}
		go func() { r.ended <- conversation.Run(context.Background()) }()
		c.client(r)
		r.server.Close()
		io.Copy(io.Discard, r.client)
		r.client.Close()
		if err := <-r.ended; err != nil || told != c.want {
			t.Errorf("%s: told %v, %v", name, told, err)
		}
	}
}
