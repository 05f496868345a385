// Package bench measures what it costs to relay streams between two unix sockets over TCP: sluice
// tunnel beside other programs, with the same work in the same minutes.
//
//	source ─ unix ─ relay ══ mutual TLS 1.3, AES-128-GCM, TCP ══ relay ─ unix ─ sink
//
// Source and sink are this process, or the sink is one of another host that a
// command leads to; the relays are processes of their own, started anew for each
// measurement. All programs do each piece of work once in each
// round, in turns, and ratios are taken within a round: a shared machine's speed
// drifts. CPU is what the kernel charges the relays with, user and system, from
// the first byte to the last, connections being up before and still up after.
//
// The limit is what is left when a relay does nothing but what it must: the CPU time that splicing
// without TLS costs, and that of sealing and opening the same bytes, both measured in the same
// round. It is told twice: with the best AES that is known on this processor, the fastest of
// sluice's own, Go's and OpenSSL's, so that sluice does not define what is possible; and with the
// AES that sluice has, which leaves what the relay itself costs.
//
// What it does not do: judge.
package bench
