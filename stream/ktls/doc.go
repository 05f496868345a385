// Package ktls leaves the records of a TLS 1.3 connection to the kernel (Linux,
// Documentation/networking/tls.rst), after a handshake that crypto/tls has made:
// sealing what is spliced into the socket, opening what is spliced out of it, or
// both. The bytes then never enter user space.
//
//	s, err := ktls.Attach(tcp, ktls.Test(suite).Rekey == nil)
//	// ...
//	sender := s.Sender()
//	err = conn.HandOverSending(sender) // a record.Conn's; nothing has changed if it fails
//	// ...
//	err = conn.SendBy(ktls.MaxRecords, func() error { return sender.Splice(pipe, n, moved) })
//
// What is no data stays with the record.Conn, which sends and receives it through the kernel:
// close_notify, alerts, KeyUpdate, NewSessionTicket. So it is the same code on both paths that says
// what an alert means, and that an end without close_notify is none.
//
// A direction can't be taken out of the kernel again. What follows from that:
//
//   - [Test] tries each suite on a loopback connection before the first stream
//     goes that way: pieces of random sizes, a send buffer that is always full, a
//     hash of all bytes, a change of the key, close_notify. Kernels have had faults
//     there that lost or doubled bytes.
//   - A key has its limit (RFC 8446, 5.5), and the peer may change its own at any
//     time. Before Linux 6.14 the kernel can follow neither: a guest of a few
//     hundred gigabytes would break off in the middle, or in post-copy be stopped on
//     both hosts. How much a stream will carry nobody knows before, so package
//     relay goes that way of itself only where keys can be changed, and leaves older
//     kernels to the record engine. Who asks for it there gets it, and
//     record.ErrFixedKey at 2^24 records, or when the peer changes its key.
//
// What the kernel leaves to its user, and is done here: records that it has taken and not sent yet
// must be out before a FIN (see Sender.Control); before 6.5 records of spliced pages stay unsent
// while its buffer is full of them (Splice); an empty record and the end of the connection look
// alike to splice, and an error is told once (Receiver).
//
// How it was verified: test/guests boots Debian's kernels 6.1, 6.12 and one that
// changes keys, and runs there this package's tests (build tag kerneltls) and
// package relay's, against the record engine, crypto/tls and the kernel itself.
package ktls
