package gcm

import (
	"encoding/binary"
	"math/bits"
)

// key is what the assembly reads: an AES key and the hash key made from it. The
// assembly has the offsets of its fields. It has no pointers, so that it lies at
// the beginning of a cache line, and so do its powers.
type key struct {
	rounds int64 // 10 for 128 bits, 14 for 256
	_      int64
	round  [15][blockSize]byte
	// powers are the hash key's 32nd power, 31st, … and itself, in the order of
	// the blocks that they multiply, each over x: the product of two numbers whose
	// bits run from the highest down lacks one factor x.
	powers [most / blockSize][blockSize]byte
	// folded has in both halves the sum of the power's.
	folded [most / blockSize][blockSize]byte
}

// hashBlocks adds n blocks, at least one, to the hash.
//
//go:noescape
func hashBlocks(k *key, hash *[blockSize]byte, blocks *byte, n int)

// encryptBlocks encrypts each block by itself, four at a time, at least once.
//
//go:noescape
func encryptBlocks(k *key, blocks *byte, fours int)

// subWord is AES's S-box for each byte of w, without a table that would tell by
// its timing what was looked up.
func subWord(w uint32) uint32

// cpuid asks the processor about itself.
func cpuid(leaf uint32) (a, b, c, d uint32)

func newKey(secret []byte) *key {
	k := &key{}
	k.expand(secret)
	var zeros [4 * blockSize]byte
	encryptBlocks(k, &zeros[0], 1)
	h := elementOf(zeros[:])
	for i, power := len(k.powers)-1, h; i >= 0; i-- {
		p := power.overX()
		p.put(&k.powers[i])
		element{p.hi ^ p.lo, p.hi ^ p.lo}.put(&k.folded[i])
		power = power.times(h)
	}
	return k
}

// expand is AES's key expansion (FIPS 197, 5.2), with the words in the processor's byte order.
func (k *key) expand(secret []byte) {
	n := len(secret) / 4
	k.rounds = int64(n + 6)
	words := make([]uint32, 4*(k.rounds+1))
	rcon := uint32(1)
	for i := range words {
		if i < n {
			words[i] = binary.LittleEndian.Uint32(secret[4*i:])
		} else {
			t := words[i-1]
			if i%n == 0 {
				t = subWord(bits.RotateLeft32(t, -8)) ^ rcon
				rcon = rcon<<1 ^ rcon>>7*0x11b
			} else if n == 8 && i%n == 4 {
				t = subWord(t)
			}
			words[i] = words[i-n] ^ t
		}
		binary.LittleEndian.PutUint32(k.round[i/4][i%4*4:], words[i])
	}
	clear(words)
}
