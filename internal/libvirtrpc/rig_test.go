package libvirtrpc

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

// testRules are rules by procedure: 1000 is held, 1001 refused, 1002 answered,
// 1003 changed with its reply.
type testRules struct{}

func (testRules) Judge(h Head) (bool, *Error) {
	switch h.Procedure {
	case 1001:
		return false, Errorf(ErrAccessDenied, "access denied: 1001")
	case 1000, 1002, 1003:
		return true, nil
	}
	return false, nil
}

func (testRules) Understand(_ context.Context, c *Call) Outcome {
	switch c.Procedure {
	case 1002:
		return Outcome{Answer: []byte("answer..")}
	case 1003:
		return Outcome{Procedure: 2003, Body: append([]byte("new."), c.Body...), Reply: func(r *Reply) {
			r.Body = append([]byte("seen"), r.Body...)
		}}
	}
	return Outcome{}
}

// rig is a conversation under test, with both far ends.
type rig struct {
	client, server *net.UnixConn
	ended          chan error
}

func unixPair(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: t.TempDir() + "/s", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err = net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = l.AcceptUnix(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// connect makes both connections, and returns the conversation's ends.
func (r *rig) connect(t testing.TB) (near, far *net.UnixConn) {
	t.Helper()
	r.client, near = unixPair(t)
	r.server, far = unixPair(t)
	return near, far
}

func newRig(t testing.TB, rules Rules) *rig {
	t.Helper()
	r := &rig{ended: make(chan error, 1)}
	near, far := r.connect(t)
	c := &Conversation{Client: near, Server: far, Rules: rules}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ended <- c.Run(context.Background())
	}()
	limit := time.Now().Add(30 * time.Second)
	r.client.SetDeadline(limit)
	r.server.SetDeadline(limit)
	t.Cleanup(func() {
		r.client.Close()
		r.server.Close()
		<-done
	})
	return r
}

func call(procedure Procedure, serial uint32, body string) []byte {
	return packet(Head{ProgramRemote, 1, procedure, TypeCall, serial, StatusOK}, []byte(body))
}

func readPacket(t testing.TB, c io.Reader) (Head, []byte) {
	t.Helper()
	h, body, err := tryPacket(c)
	if err != nil {
		t.Fatal(err)
	}
	return h, body
}

func tryPacket(c io.Reader) (Head, []byte, error) {
	var length [lengthSize]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return Head{}, nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(length[:]))
	copy(b, length[:])
	if _, err := io.ReadFull(c, b[lengthSize:]); err != nil {
		return Head{}, nil, err
	}
	return ParseHead(b), b[headSize:], nil
}

func (testRules) Busy() bool { return false }
