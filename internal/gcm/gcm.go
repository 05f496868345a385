// Package gcm is AES-GCM for records, on 512 or 256 bits at a time where the
// processor can; see Chosen. Elsewhere it is crypto/cipher's.
//
//	512 bits  VAES and VPCLMULQDQ on AVX-512: Intel since Ice Lake, AMD since Zen 4
//	256 bits  the same on AVX2: AMD's Zen 3, Intel's Alder Lake and later E-cores, and
//	          Ice and Tiger Lake, which 512 bits would slow down
//
// Go's own takes a block of 128 bits to an instruction. For records of 16 KiB this one takes about
// half of its time; bench/NOTES.md has what that gives to a relay.
//
// # How it works
//
// The assembly is written once, for vectors of any width (crypt_amd64.h), and takes eight of them
// at a time: eight vectors of counters go through AES together, so that none waits for another, and
// between AES's rounds eight of ciphertext are multiplied by as many powers of the hash key, to be
// summed and reduced once. What is opened is hashed while it is decrypted, what is sealed while the
// next is encrypted. Decryption and authentication are one pass, so that what a failed one has left
// is cleared.
//
// A block's bytes are reversed in the registers, which makes it a polynomial with its highest bit
// first. The product of two such lacks a factor x, which is why the powers are held over x, and is
// reduced from its lower end: x^64 times as much for each of two words.
//
// No branch and no address depends on keys or data.
//
// # What was verified
//
// Every length to 1,600 bytes and those around a record's, in place and not, against crypto/cipher,
// which a fuzz target goes on with; the vectors of the GCM specification; each bit of a sealed
// message turned. Before its first use a process compares it with crypto/cipher on the processor
// that it runs on, and stays with that one if they differ.
package gcm

import (
	"crypto/aes"
	"crypto/cipher"
	"sync"
)

// Choice is which AES-GCM New makes.
type Choice struct {
	Name string // "sluice's own on 512 bits", "sluice's own on 256 bits" or "Go's"
	Why  string // what of the processor or of the process's settings decided
}

func (c Choice) String() string { return c.Name + ": " + c.Why }

// standardName is the name of crypto/cipher's.
const standardName = "Go's"

// Chosen is this process's choice.
func Chosen() Choice {
	_, c := chosen()
	return c
}

// chosen makes New's ciphers if it isn't nil.
var chosen = sync.OnceValues(choose)

// New returns AES-GCM with nonces of 12 bytes and tags of 16 for a key of 16,
// 24 or 32 bytes. Many goroutines may use it.
func New(secret []byte) (cipher.AEAD, error) {
	if own, _ := chosen(); own != nil && (len(secret) == 16 || len(secret) == 32) {
		return own(secret), nil
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
