package stream

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
)

// recorder is a connection that remembers what went over it.
type recorder struct {
	relay.Conn
	mu             sync.Mutex
	written, taken bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	r.written.Write(p)
	r.mu.Unlock()
	return r.Conn.Write(p)
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.mu.Lock()
	r.taken.Write(p[:n])
	r.mu.Unlock()
	return n, err
}

// said are the frames one way, without signs of life.
func said(t *testing.T, b *bytes.Buffer) (frames [][]byte) {
	t.Helper()
	for b.Len() > 0 {
		whole := b.Bytes()
		f, err := readFrame(b, MaxControl)
		if err != nil {
			t.Fatal(err)
		}
		if f.Kind != kindPing {
			frames = append(frames, whole[:len(whole)-b.Len()])
		}
	}
	return frames
}

// The frames in PROTOCOL.md are what the two ends say to each other.
func TestProtocol_documentedExchange(t *testing.T) {
	t.Parallel()
	h := &handler{connected: make(chan connected, 1), ended: make(chan *Cause, 1)}
	h.call = func(context.Context, string, []byte) (any, error) {
		return map[string]string{"answer": "ready"}, nil
	}
	sessions := make(chan *Session, 1)
	acceptor := &Acceptor{Host: "host-b"}
	terms := &Terms{Accept: func(context.Context, Info) (Handler, func(*Session), error) {
		return h, func(s *Session) { sessions <- s }, nil
	}}
	var serving sync.WaitGroup
	var recorded []*recorder
	opener := &Opener{Host: "host-a", Peer: "host-b", Dial: func(context.Context, string, bool) (relay.Conn, error) {
		a, b, err := newSocketPair()
		if err != nil {
			return nil, err
		}
		r := &recorder{Conn: relay.Plain(a)}
		recorded = append(recorded, r)
		serving.Go(func() {
			acceptor.Serve(context.Background(), relay.Plain(b), func() (Who, *Terms) { return Who{Peer: "host-a"}, terms })
		})
		return r, nil
	}}
	a, err := opener.Open(t.Context(), Info{
		ID:    "00112233445566778899aabbccddeeff",
		Work:  "migrate",
		Guest: "web",
		UUID:  "6a0e4fd0-54d9-4c9a-8f43-6f1b5be8a4bb",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Call(t.Context(), "prepare", map[string]string{"question": "ready?"}, nil); err != nil {
		t.Fatal(err)
	}
	near, local := socketPair(t)
	if _, err := a.OpenChannel(t.Context(), ChannelMemory, local); err != nil {
		t.Fatal(err)
	}
	far := receive(t, h.connected).app
	defer far.Close()
	for _, c := range []*net.UnixConn{near, far} {
		c.CloseWrite()
	}
	receive(t, a.Channels()[0].Ended())
	receive(t, sessions).Fail(&Cause{Code: CodeLibvirt, Text: "Domain not found"})
	expect(t, wait(t, a), CodeLibvirt, "host-b: Domain not found")
	within(t, "Serve", serving.Wait)

	control, memory := recorded[0], recorded[1]
	documented := documentedFrames(t)
	for _, way := range []struct {
		name string
		said [][]byte
	}{
		{"control, opener", said(t, &control.written)},
		{"control, acceptor", said(t, &control.taken)},
		{"memory-0, opener", said(t, &memory.written)},
		{"memory-0, acceptor", said(t, &memory.taken)},
	} {
		want := documented[way.name]
		delete(documented, way.name)
		if len(way.said) != len(want) {
			t.Errorf("%s: %d frames, %d are documented", way.name, len(way.said), len(want))
		}
		for i, got := range way.said {
			if i >= len(want) || !bytes.Equal(got, want[i]) {
				t.Errorf("%s, frame %d:\n%s", way.name, i+1, hex.Dump(got))
			}
		}
	}
	for name := range documented {
		t.Errorf("PROTOCOL.md has frames of %q, which nobody sent", name)
	}
}

// documentedFrames are PROTOCOL.md's, by channel and sender. Each is a block
//
//	```hex control, opener
//	00 00 00 01   | what these bytes are
//	```
func documentedFrames(t *testing.T) map[string][][]byte {
	t.Helper()
	text, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	frames := make(map[string][][]byte)
	for _, block := range regexp.MustCompile("(?ms)^```hex (.*?)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		var b []byte
		for _, line := range strings.Split(block[2], "\n") {
			bytes, _, _ := strings.Cut(line, "|")
			b = append(b, unhex(strings.TrimSpace(bytes))...)
		}
		frames[block[1]] = append(frames[block[1]], b)
	}
	return frames
}

// PROTOCOL.md's figures, codes and kinds are the code's.
func TestProtocol_documentedFigures(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	l := Limits{}.withDefaults()
	says := []string{
		fmt.Sprintf("# The sluice protocol, version %d\n", Version),
		fmt.Sprintf("| frame, opening a channel | %d bytes |", MaxOpen),
		fmt.Sprintf("| frame, control channel | %d bytes |", MaxControl),
		fmt.Sprintf("| nesting of a frame | %d |", maxDepth),
		fmt.Sprintf("| versions offered | %d |", maxVersions),
		fmt.Sprintf("| `work`, `guest`, `uuid` | %d bytes each |", maxName),
		fmt.Sprintf("| calls under way | %d |", maxCalls),
		fmt.Sprintf("| a control frame's way out of the sender | %d s, and 1 s more for each %d bytes |", writeTimeout/time.Second, leastRate),
		fmt.Sprintf("| opening a channel | %d s |", l.Handshake/time.Second),
		fmt.Sprintf("| silence | %d s |", l.Idle/time.Second),
		fmt.Sprintf("| data channels of a session, ended ones included | %d |", l.Channels),
		fmt.Sprintf("more often than every %d ms", leastPing/time.Millisecond),
		fmt.Sprintf("(%d s or %d KiB at most)", writeTimeout/time.Second, 2*MaxOpen>>10),
		fmt.Sprintf("sends `failed` and waits %d s for `end`", graceForVerdict/time.Second),
		fmt.Sprintf("waits up to %d s for a reason", graceForCause/time.Second),
		fmt.Sprintf("give the data channels %d s to end by themselves", graceForDrain/time.Second),
		fmt.Sprintf("waits for it up to %d s", graceForCleanup/time.Second),
		fmt.Sprintf("keeps %d bytes of it", maxCauseText),
	}
	for _, code := range []string{
		CodeDone, CodeCancelled, CodeLink, CodeLocal, CodeLibvirt, CodeRefused, CodeTimeout, CodeLimit, CodeProtocol, CodeShutdown,
	} {
		says = append(says, "| `"+code+"` | ")
	}
	for name := range frames() {
		kind, _, _ := strings.Cut(name, " ")
		says = append(says, "`"+kind+"`")
	}
	for key := range reflect.TypeFor[frame]().Fields() {
		name, _, _ := strings.Cut(key.Tag.Get("msgpack"), ",")
		says = append(says, "`"+name+"`")
	}
	for _, s := range says {
		if !bytes.Contains(text, []byte(s)) {
			t.Errorf("PROTOCOL.md lacks %q", s)
		}
	}
}

// PROTOCOL.md names every kind of channel, and no others.
func TestProtocol_documentedChannels(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	var data []string
	for _, k := range ChannelKinds() {
		data = append(data, k.Name)
	}
	name := regexp.MustCompile("`([a-z]+)`")
	for row, want := range map[string][]string{
		`(?m)^\| data channel \| (.*)\|$`:               data,
		"(?m)^\\| `channel` \\| string \\| all \\|(.*)": append(data, channelControl, channelAsk),
	} {
		var got []string
		for _, m := range name.FindAllStringSubmatch(string(regexp.MustCompile(row).Find(text)), -1) {
			got = append(got, m[1])
		}
		got = slices.DeleteFunc(got, func(s string) bool { return s == "channel" })
		slices.Sort(got)
		if want := slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
			t.Errorf("PROTOCOL.md names the channels %q; there are %q", got, want)
		}
	}
}
