// Package gcm is AES-GCM for records, on 512 bits at a time where the processor
// can: it has VAES and VPCLMULQDQ on AVX-512 (Intel since Ice Lake, AMD since
// Zen 4). Elsewhere it is crypto/cipher's.
//
// Go's own takes a block to an instruction. For records of 16 KiB this one takes
// less than a third of its time; bench/NOTES.md has what that gives to a relay.
//
// # How it works
//
// The assembly takes 32 blocks at a time: eight registers of four counters go
// through AES together, so that none waits for another, and their ciphertext is
// multiplied by the hash key's 32nd to first power and reduced once. Nothing is
// interleaved by hand; the processor overlaps one group's hash with the next
// one's AES. Decryption and authentication are one pass, so that what a failed
// one has left is cleared.
//
// A block's bytes are reversed in the registers, which makes it a polynomial
// with its highest bit first. The product of two such lacks a factor x, which is
// why the powers are held over x, and is reduced from its lower end: x^64 times
// as much for each of two words.
//
// No branch and no address depends on keys or data.
//
// # What was verified
//
// Every length to 1,600 bytes and those around a record's, in place and not,
// against crypto/cipher, which a fuzz target goes on with; the vectors of the
// GCM specification; each bit of a sealed message turned. Before its first use a
// process compares it with crypto/cipher on the processor that it runs on, and
// stays with that one if they differ.
package gcm

import (
	"crypto/aes"
	"crypto/cipher"
)

// New returns AES-GCM with nonces of 12 bytes and tags of 16 for a key of 16,
// 24 or 32 bytes. Many goroutines may use it.
func New(secret []byte) (cipher.AEAD, error) {
	if Wide() && (len(secret) == 16 || len(secret) == 32) {
		return newWide(secret), nil
	}
	return newStandard(secret)
}

func newStandard(secret []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
