package relay

import "net"

// Socket is a connection that can be closed for writing alone.
type Socket interface {
	net.Conn
	CloseWrite() error
}

// RawSyscalls is c, if it is a plain socket, with reads and writes of which Go's scheduler isn't
// told: they never wait, and a process that was idle would wake the runtime's monitor thread for
// each message. One goroutine may read and another write.
func RawSyscalls(c Socket) Socket {
	if s := newRawSocket(c); s != nil {
		return rawSocket{c, s}
	}
	return c
}

type rawSocket struct {
	Socket
	socket *socket
}

func (r rawSocket) Read(p []byte) (int, error)  { return r.socket.Read(p) }
func (r rawSocket) Write(p []byte) (int, error) { return r.socket.Write(p) }

// newRawSocket is newSocket for what is read and written by raw system calls.
func newRawSocket(c net.Conn) *socket {
	s := newSocket(c)
	if s != nil {
		s.in.raw, s.out.raw = true, true
	}
	return s
}
