package stream

import (
	"context"
	"io"
	"strings"
	"testing"
)

// What one peer may have counts over all of its sessions, and what has ended counts no more.
func TestShare_channels(t *testing.T) {
	t.Parallel()
	h := newHosts(t, func(h *hosts) { h.terms.Share.Channels = 2 })
	first, _ := h.open(Info{})
	second, _ := h.open(Info{})
	a, b := h.channel(first, ChannelMemory)
	h.channel(second, ChannelMemory)
	_, local := socketPair(t)
	_, err := second.OpenChannel(t.Context(), ChannelDisk, local)
	expect(t, err, CodeRefused, "limit of channels for host-a reached (2", "limits.peer_channels")

	a.CloseWrite()
	b.CloseWrite()
	io.Copy(io.Discard, a)
	io.Copy(io.Discard, b)
	until(t, "the end of the channel", func() bool {
		h.acceptor.shares.mu.Lock()
		defer h.acceptor.shares.mu.Unlock()
		return len(h.acceptor.shares.of) == 0
	})
	h.channel(first, ChannelMemory)
}

func TestShare_asks(t *testing.T) {
	t.Parallel()
	begun, release := make(chan struct{}), make(chan struct{})
	h := newHosts(t, func(h *hosts) {
		h.terms.Share.Asks = 1
		h.terms.Ask = func(context.Context, string, string, []byte) (any, error) {
			begun <- struct{}{}
			<-release
			return nil, nil
		}
	})
	answered := make(chan error)
	go func() { answered <- h.opener.Ask(context.Background(), "", "slow", nil, nil) }()
	<-begun
	expect(t, h.opener.Ask(t.Context(), "", "another", nil, nil), CodeRefused, "limit of questions for host-a reached (1", "limits.peer_asks")
	close(release)
	if err := receive(t, answered); err != nil {
		t.Error(err)
	}
	go func() { <-begun }()
	until(t, "room for another question", func() bool { return h.opener.Ask(t.Context(), "", "another", nil, nil) == nil })
}

// Long frames share what memory there is for a peer, as long as they are held.
func TestShare_memory(t *testing.T) {
	t.Parallel()
	memory := NewMemory(5 * MaxOpen)
	begun, release := make(chan struct{}, 2), make(chan struct{})
	h := newHosts(t, func(h *hosts) {
		h.terms.Share.Memory = func(string) *Memory { return memory }
		h.handler.call = func(context.Context, string, []byte) (any, error) {
			begun <- struct{}{}
			<-release
			return nil, nil
		}
	})
	long := strings.Repeat("x", 3*MaxOpen)
	first, _ := h.open(Info{})
	second, _ := h.open(Info{})
	done := make(chan error)
	go func() { done <- first.Call(context.Background(), "one", long, nil) }()
	receive(t, begun)
	expect(t, second.Call(t.Context(), "two", long, nil), CodeLimit, "limits.peer_memory")
	expect(t, wait(t, second), CodeLimit, "host-b: ", "limits.peer_memory")
	close(release)
	if err := receive(t, done); err != nil {
		t.Error(err)
	}
	if err := first.Call(t.Context(), "three", long, nil); err != nil {
		t.Error(err)
	}
	until(t, "all memory is given back", func() bool {
		if !memory.Take(5 * MaxOpen) {
			return false
		}
		memory.Give(5 * MaxOpen)
		return true
	})
}
