package gcm

import (
	"bytes"
	"crypto/fips140"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"sync"
	"unsafe"

	"golang.org/x/sys/cpu"
)

// Wide reports whether New's ciphers are this package's own. They are not in
// FIPS 140-3 mode, which is for validated code alone.
var Wide = sync.OnceValue(func() bool { return able() && !fips140.Enabled() && agrees() })

// able reports whether the processor has what the assembly uses.
func able() bool {
	x := &cpu.X86
	return x.HasAES && x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL &&
		x.HasAVX512VAES && x.HasAVX512VPCLMULQDQ
}

// agrees compares the assembly with crypto/cipher, on keys of both sizes and a
// message with whole groups, single blocks and a part of one. First there is no
// data before it: then nothing has been hashed when the first group is.
func agrees() bool {
	plain := make([]byte, 2*group+5*blockSize+3)
	for i := range plain {
		plain[i] = byte(i * 7)
	}
	nonce := plain[1 : 1+nonceSize]
	for _, size := range []int{16, 32} {
		secret := plain[size : 2*size]
		theirs, err := newStandard(secret)
		if err != nil {
			return false
		}
		ours := newWide(secret)
		for _, data := range [][]byte{nil, plain[:5]} {
			sealed := ours.Seal(nil, nonce, plain, data)
			if !bytes.Equal(sealed, theirs.Seal(nil, nonce, plain, data)) {
				return false
			}
			opened, err := ours.Open(nil, nonce, sealed, data)
			if err != nil || !bytes.Equal(opened, plain) {
				return false
			}
		}
	}
	return true
}

const (
	nonceSize = 12
	tagSize   = 16
	blockSize = 16
	// group is how many bytes the assembly takes at a time.
	group = 32 * blockSize
	// plainMax is what 32 bits can count (NIST SP 800-38D, 5.2.1.1).
	plainMax = (1<<32 - 2) * blockSize
	// Counters (7.1): the tag's, and the first block's.
	tagCounter, firstCounter = 1, 2
)

var errOpen = errors.New("gcm: message authentication failed")

// wide is AES-GCM by the assembly. It isn't changed once it is made.
type wide struct{ k key }

func (*wide) NonceSize() int { return nonceSize }
func (*wide) Overhead() int  { return tagSize }

func (g *wide) Seal(dst, nonce, plain, data []byte) []byte {
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
func (g *wide) Open(dst, nonce, sealed, data []byte) ([]byte, error) {
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

// run encrypts or decrypts src into dst, which is of its length, and returns
// the tag.
func (g *wide) run(dst, src []byte, nonce [nonceSize]byte, data []byte, open bool) (tag [tagSize]byte) {
	var hash [blockSize]byte
	g.hash(&hash, data)

	groups := len(src) / group
	if groups > 0 {
		counter := counterBlock(nonce, firstCounter)
		crypt(&g.k, &hash, &counter, &dst[0], &src[0], groups, open)
	}

	// The key stream of the tag and of what doesn't fill a group.
	var stream [blockSize + group + 3*blockSize]byte
	done := groups * group
	counters := 1 + (len(src)-done+blockSize-1)/blockSize
	for i := range counters {
		n := uint32(tagCounter)
		if i > 0 {
			n = uint32(firstCounter + done/blockSize + i - 1)
		}
		block := counterBlock(nonce, n)
		copy(stream[i*blockSize:], block[:])
	}
	encryptBlocks(&g.k, &stream[0], (counters+3)/4)

	if open {
		g.hash(&hash, src[done:])
	}
	subtle.XORBytes(dst[done:], src[done:], stream[blockSize:])
	if !open {
		g.hash(&hash, dst[done:])
	}

	var lengths [blockSize]byte
	binary.BigEndian.PutUint64(lengths[:], uint64(len(data))*8)
	binary.BigEndian.PutUint64(lengths[8:], uint64(len(src))*8)
	g.hash(&hash, lengths[:])
	subtle.XORBytes(tag[:], hash[:], stream[:])
	return tag
}

// hash adds b to the hash, filled up to whole blocks with zeros.
func (g *wide) hash(hash *[blockSize]byte, b []byte) {
	if n := len(b) / blockSize; n > 0 {
		hashBlocks(&g.k, hash, &b[0], n)
		b = b[n*blockSize:]
	}
	if len(b) > 0 {
		var last [blockSize]byte
		copy(last[:], b)
		hashBlocks(&g.k, hash, &last[0], 1)
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
