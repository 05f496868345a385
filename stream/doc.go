// Package stream is a bounded stream between two hosts: a session, its
// channels, and the limits of both.
//
// A session is one piece of work, such as one migration. It lives exactly as long as its control
// channel: one TLS connection on which frames go both ways (calls and their replies, signs of life,
// and the cause of the end). Every other channel of the session is a TLS connection of its own that
// carries one frame each way and then raw bytes. PROTOCOL.md states the wire byte by byte.
//
// The opener calls Open, then Session.Call and Session.OpenChannel, and Session.Finish. The other
// end gives each connection that it has authenticated to Acceptor.Serve.
//
// When a session ends, by Finish, by a failure on either host, by a limit or because the peer has
// fallen silent, everything that it opened is closed on both hosts, and both know the one Cause.
// Session.Wait returns when that is so.
//
// What the package does not do: it neither dials nor authenticates (its caller
// gives it connections), and it knows nothing of libvirt or QEMU.
package stream
