// Package relay moves one channel's bytes between a local socket and a peer,
// by the cheapest path the channel allows, and says truthfully how it ended.
//
// A caller connects or accepts a socket to the peer, turns it into a [Conn] with [Client], [Server]
// or [Plain], may exchange a few small frames over it with Read and Write, and then gives it to
// [Run] together with the local socket:
//
//	peer, err := relay.Client(ctx, tcp, tlsConfig)
//	if err != nil {
//		return err // tcp is closed
//	}
//	// ... one frame each way over peer ...
//	res := relay.Run(ctx, local, peer, relay.Options{Counters: &counters})
//	// local and peer are closed; res.Err is nil after an orderly end
//
// What it promises:
//
//   - Half-close is carried both ways: the end of the local stream becomes
//     close_notify and a FIN, the peer's close_notify a FIN on the local socket,
//     and the other direction goes on.
//   - An end is orderly or it is an error, never taken one for the other: a peer
//     whose TCP connection ends without close_notify was cut off
//     ([ErrTruncated]). After a failure the sockets are reset, and nothing that
//     could be taken for an end goes before: a FIN would be one where close_notify
//     is optional. (A unix socket has no reset: its reader sees an end of file.)
//   - Of several errors the first is kept; what our own teardown causes never
//     replaces it.
//   - No byte waits for others to fill a record or a buffer.
//   - Bytes are counted and limited exactly. A limit is served by turns, and a
//     flow that moves next to nothing waits for none.
//   - On the records path only as many directions as there are processors move much at once, and
//     they look about them every millisecond: a message beside hundreds of them waits for few.
//   - A direction that waits holds next to nothing of this process: memory is
//     lent to what has come, once there is room where it goes, and [Buffers] bound
//     it. What TCP keeps for one that does not read is bounded too.
//
// What it does not do: it opens no connection, authorises nobody (the tls.Config does), has no
// timeouts of its own (the context does), and multiplexes nothing.
package relay
