// Package record moves a byte stream in TLS 1.3 records (RFC 8446, section 5) over the keys of a
// handshake that crypto/tls has made, with less work for each byte than crypto/tls needs.
//
// [Client] and [Server] run the handshake and return a [Conn], which is a net.Conn with CloseWrite.
// Those who move much use its batch calls: Send seals up to 32 records in place and sends them with
// one write, Receive opens all that one read has brought where they are.
//
//	var b record.Batch
//	defer b.Release()
//	for {
//		n, err := readv(local, b.Spaces()) // as much as there is
//		// ...
//		err = conn.Send(&b, n)
//		b.Sent(n)
//	}
//
// What it does: AES-128-GCM, AES-256-GCM and ChaCha20-Poly1305; close_notify each way by itself;
// alerts, named in errors; KeyUpdate, answered before the next data, and started before a key has
// protected 2^24 records, in either direction; padding; NewSessionTicket, which is skipped. A
// connection that ends without close_notify was cut off: [ErrTruncated].
//
// What it does not do: handshakes, other versions, 0-RTT, session resumption,
// post-handshake authentication, records of other sizes than full ones while
// there is data to fill them. It delays no byte to fill a record.
//
// How it leaves crypto/tls: the traffic secrets come from the KeyLogWriter of a copy of the Config;
// the tls.Conn reads through a [Transport] that gives it no byte past the record it is reading, so
// that what follows the handshake is still here; from then on the tls.Conn is not used.
//
// How it was verified, all by this package's tests: the traces of RFC 8448 to the byte; crypto/tls,
// GnuTLS and OpenSSL as the other end, in both roles, each suite, with keys changed by either side;
// a flight with each of its bits changed and cut at each of its bytes; nettest.TestConn; fuzzing
// with and without the keys; and ciphers that panic when a nonce comes twice.
package record
