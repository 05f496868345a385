package peer

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// sessionProtocol is the beginning of an ALPN protocol that is offered beside ALPN and never chosen.
// It tells which session a connection is about before a byte of the handshake has been answered, so
// that another process of this host can still have the connection whole.
const sessionProtocol = "sluice-session/"

// SessionMark is a session as a ClientHello names it, which anybody on the way can read. So it is
// not the ID itself: who knows that may bring the data of a guest that waits for it.
func SessionMark(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16])
}

// mark is what a connection about session offers beside ALPN; empty if it is about none.
func mark(session string) string {
	if session == "" {
		return ""
	}
	return sessionProtocol + SessionMark(session)
}

// MarkIn is the session that a ClientHello names; empty if none, or if it can't be read, for which
// the handshake itself has the words.
func MarkIn(hello []byte) (mark string) {
	c := tls.Server(&helloConn{unread: hello}, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		if !slices.Contains(h.SupportedProtos, ALPN) {
			return nil, errRead
		}
		for _, p := range h.SupportedProtos {
			if m, is := strings.CutPrefix(p, sessionProtocol); is && len(m) == 32 {
				mark = m
			}
		}
		return nil, errRead
	}})
	c.HandshakeContext(context.Background()) // ends with errRead, or with what is wrong
	return mark
}

var errRead = errors.New("read")

// helloConn is a connection of which the beginning is known, and nothing more comes.
type helloConn struct {
	net.Conn
	unread []byte
}

func (c *helloConn) Read(p []byte) (int, error) {
	if len(c.unread) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

func (c *helloConn) Write(p []byte) (int, error)      { return len(p), nil }
func (c *helloConn) Close() error                     { return nil }
func (c *helloConn) SetDeadline(time.Time) error      { return nil }
func (c *helloConn) SetReadDeadline(time.Time) error  { return nil }
func (c *helloConn) SetWriteDeadline(time.Time) error { return nil }
