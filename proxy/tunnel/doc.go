// Package tunnel is the relay by itself: for each connection that comes in at
// one address one goes out to another, with TLS on one of the two sides or on
// neither.
//
//	listen, err := tunnel.ParseAddress("unix:/run/in.sock")
//	to, err := tunnel.ParseAddress("tls:host-b:4433")
//	t, err := tunnel.Listen(tunnel.Options{Listen: listen, To: to, Credentials: store, Names: names})
//	err = t.Serve(ctx, drain)
//
// What it promises beyond package relay, which moves the bytes:
//
//   - The target is connected to only once a client that comes by TLS has shown
//     a certificate of this host's CA with a name that is let in.
//   - A connection whose other side could not be had is reset, not closed in
//     order, wherever its socket has a reset.
//   - How many connections and handshakes there are at once, and how long a
//     handshake may take, is bounded.
//
// What it does not do: it speaks no protocol of its own, so that anything that
// does mutual TLS can be at its other end; and it has no TLS on both sides.
package tunnel
