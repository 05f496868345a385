package stream

import (
	"fmt"
	"net"
	"time"

	"github.com/virt-sluice/sluice/stream/relay"
)

// Refuse tells a peer why there is nothing for it here, and closes the connection. Its frame may have
// been read or not, and no more will be.
func (a *Acceptor) Refuse(conn relay.Conn, why error) {
	defer conn.Close()
	cause := asCause(why, CodeRefused, a.Host).from(a.Host)
	conn.SetDeadline(time.Now().Add(writeTimeout))
	if writeFrame(conn, &frame{Kind: kindRefuse, Host: a.Host, Cause: cause}, MaxOpen) != nil {
		return
	}
	// Closing while the peer's frame is unread would reset the connection and
	// take our words with it.
	if conn.CloseWrite() == nil {
		discard(conn)
	}
}

// discard reads what a refused peer had sent, within bounds.
func discard(conn net.Conn) {
	buf := make([]byte, 4096)
	for n := 0; n < 2*MaxOpen; {
		m, err := conn.Read(buf)
		if err != nil {
			return
		}
		n += m
	}
}

func refusal(format string, args ...any) error {
	return &Cause{Code: CodeRefused, Text: fmt.Sprintf(format, args...)}
}
