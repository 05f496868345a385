package gcm

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"unsafe"
)

const (
	nonceSize = 12
	tagSize   = 16
	blockSize = 16
	// most is how many bytes the widest version takes at a time.
	most = 32 * blockSize
	// rest is what never fills a group.
	rest = 8 * blockSize
	// plainMax is what 32 bits can count (NIST SP 800-38D, 5.2.1.1).
	plainMax = (1<<32 - 2) * blockSize
	// Counters (7.1): the tag's, and the first block's.
	tagCounter, firstCounter = 1, 2
)

var errOpen = errors.New("gcm: message authentication failed")

// aead is AES-GCM by the assembly. It isn't changed once it is made.
type aead struct {
	version
	k *key
}

func (v version) newAEAD(secret []byte) cipher.AEAD { return &aead{v, newKey(secret)} }

func (*aead) NonceSize() int { return nonceSize }
func (*aead) Overhead() int  { return tagSize }

func (g *aead) Seal(dst, nonce, plain, data []byte) []byte {
	if len(nonce) != nonceSize {
		panic("gcm: nonce is not 12 bytes")
	}
	if uint64(len(plain)) > plainMax {
		panic("gcm: message is too long")
	}
	n := len(plain)
	all, out := extend(dst, n+tagSize)
	if shifted(out, plain) || overlap(out, data) {
		panic("gcm: output lies over input")
	}
	tag := g.run(out[:n], plain, [nonceSize]byte(nonce), data, false)
	copy(out[n:], tag[:])
	return all
}

// Open decrypts while it authenticates, and leaves zeros where that fails.
func (g *aead) Open(dst, nonce, sealed, data []byte) ([]byte, error) {
	if len(nonce) != nonceSize {
		panic("gcm: nonce is not 12 bytes")
	}
	n := len(sealed) - tagSize
	if n < 0 || uint64(n) > plainMax {
		return nil, errOpen
	}
	var expected [tagSize]byte
	copy(expected[:], sealed[n:])
	all, out := extend(dst, n)
	if shifted(out, sealed) || overlap(out, data) {
		panic("gcm: output lies over input")
	}
	tag := g.run(out, sealed[:n], [nonceSize]byte(nonce), data, true)
	if subtle.ConstantTimeCompare(tag[:], expected[:]) != 1 {
		clear(out)
		return nil, errOpen
	}
	return all, nil
}

// run encrypts or decrypts src into dst, which is of its length, and returns the tag.
func (g *aead) run(dst, src []byte, nonce [nonceSize]byte, data []byte, open bool) (tag [tagSize]byte) {
	var hash [blockSize]byte
	if len(data) > 0 {
		g.hash(&hash, data)
	}
	done := g.groups(g.version, &hash, dst, src, nonce, 0, open)
	done = g.groups(narrow, &hash, dst, src, nonce, done, open)

	// The key stream of the tag and of what doesn't fill a group.
	var stream [blockSize + rest + 3*blockSize]byte
	counters := 1 + (len(src)-done+blockSize-1)/blockSize
	for i := range counters {
		n := uint32(tagCounter)
		if i > 0 {
			n = uint32(firstCounter + done/blockSize + i - 1)
		}
		*(*[blockSize]byte)(stream[i*blockSize:]) = counterBlock(nonce, n)
	}
	encryptBlocks(g.k, &stream[0], (counters+3)/4)

	// The last of the ciphertext, filled up to whole blocks, and the lengths.
	var end [rest + blockSize]byte
	if open {
		copy(end[:], src[done:])
	}
	subtle.XORBytes(dst[done:], src[done:], stream[blockSize:])
	if !open {
		copy(end[:], dst[done:])
	}
	lengths := end[(counters-1)*blockSize:]
	binary.BigEndian.PutUint64(lengths, uint64(len(data))*8)
	binary.BigEndian.PutUint64(lengths[8:], uint64(len(src))*8)
	hashBlocks(g.k, &hash, &end[0], counters)
	subtle.XORBytes(tag[:], hash[:], stream[:])
	return tag
}

// groups runs v on its whole groups behind done bytes, and returns how many are done then.
func (g *aead) groups(v version, hash *[blockSize]byte, dst, src []byte, nonce [nonceSize]byte, done int, open bool) int {
	n := (len(src) - done) / v.group()
	if n > 0 {
		counter := counterBlock(nonce, uint32(firstCounter+done/blockSize))
		v.crypt(g.k, hash, &counter, &dst[done], &src[done], n, open)
	}
	return done + n*v.group()
}

// hash adds b to the hash, filled up to whole blocks with zeros.
func (g *aead) hash(hash *[blockSize]byte, b []byte) {
	if n := len(b) / blockSize; n > 0 {
		hashBlocks(g.k, hash, &b[0], n)
		b = b[n*blockSize:]
	}
	if len(b) > 0 {
		var last [blockSize]byte
		copy(last[:], b)
		hashBlocks(g.k, hash, &last[0], 1)
	}
}

func counterBlock(nonce [nonceSize]byte, n uint32) (b [blockSize]byte) {
	copy(b[:], nonce[:])
	binary.BigEndian.PutUint32(b[nonceSize:], n)
	return b
}

// extend returns b with n bytes more, and those.
func extend(b []byte, n int) (all, added []byte) {
	if total := len(b) + n; cap(b) >= total {
		all = b[:total]
	} else {
		all = make([]byte, total)
		copy(all, b)
	}
	return all, all[len(b):]
}

// shifted reports whether a and b share memory without beginning together.
func shifted(a, b []byte) bool {
	return overlap(a, b) && &a[0] != &b[0]
}

// overlap reports whether a and b share memory.
func overlap(a, b []byte) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	pa, pb := uintptr(unsafe.Pointer(&a[0])), uintptr(unsafe.Pointer(&b[0]))
	return pa < pb+uintptr(len(b)) && pb < pa+uintptr(len(a))
}
