// Package tunnel is the relay by itself: for each connection that comes in at
// one address one goes out to another, with TLS on either side, on both or on
// neither. A side is a unix socket, TCP, an inherited descriptor or a command.
//
//	listen, err := spec.ParseAddress("unix:/run/in.sock")
//	to, err := spec.ParseAddress("tls:host-b:4433")
//	t, err := tunnel.Listen(tunnel.Options{Spec: spec.Spec{Listen: listen, To: to}, Credentials: store})
//	err = t.Serve(ctx, drain)
//
// What it promises beyond package relay, which moves the bytes:
//
//   - The target is connected to only once a client that comes by TLS has shown
//     a certificate of this host's CA with a name that is let in.
//   - A connection whose other side could not be had is reset, not closed in
//     order, wherever its socket has a reset.
//   - What was written of TLS is never changed, and what comes of it can be asked
//     ([spec.Spec.Effect]); nothing leaves the host in clear where that is forbidden.
//   - A command ends with its connection, and is killed before a stream that
//     breaks could look complete to it.
//   - How many connections and handshakes there are at once, and how long a
//     handshake may take, is bounded.
//
// What it does not do: it speaks no protocol of its own, so that anything that does mutual TLS can
// be at its other end. Of others' protocols it knows how NBD asks for TLS, and no more.
package tunnel
