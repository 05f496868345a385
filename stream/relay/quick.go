package relay

import "net"

// Socket is a connection that can be closed for writing alone.
type Socket interface {
	net.Conn
	CloseWrite() error
}

// Quick is c, if it is a plain socket, with reads and writes of which Go's
// scheduler isn't told: they never wait, and a process that was idle would wake
// the runtime's monitor thread for each message. One goroutine may read and
// another write.
func Quick(c Socket) Socket {
	if l := newLine(c); l != nil {
		l.in.quiet, l.out.quiet = true, true
		return quick{c, l}
	}
	return c
}

type quick struct {
	Socket
	line *line
}

func (q quick) Read(p []byte) (int, error)  { return q.line.Read(p) }
func (q quick) Write(p []byte) (int, error) { return q.line.Write(p) }
