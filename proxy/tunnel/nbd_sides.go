package tunnel

import (
	"context"
	"net"
)

// NBDClient is the start of NBD with a client, up to its options, or up to TLS
// where it is to ask for that. It returns the client's flags, for NBDServer.
func NBDClient(ctx context.Context, c net.Conn, tls bool) (flags uint32, err error) {
	return greetClient(ctx, c, tls)
}

// NBDServer is the same with a server.
func NBDServer(ctx context.Context, c net.Conn, flags uint32, tls bool) error {
	return greetServer(ctx, c, flags, tls)
}
