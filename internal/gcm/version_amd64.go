package gcm

import (
	"bytes"
	"fmt"
)

// version is the assembly for vectors of so many bits. It takes eight of them at
// a time: as many bytes.
type version int

// versions are those that New makes, the best first.
var versions = []version{512, 256}

// narrow is slower than crypto/cipher's, and takes what doesn't fill the others' groups.
const narrow version = 128

func (v version) String() string { return fmt.Sprintf("%d bits", int(v)) }

// group is how many bytes v takes at a time.
func (v version) group() int { return int(v) }

// crypt encrypts or decrypts groups, at least one, from src to dst, which may be the same, with the
// counters from the given one on, and adds the ciphertext to the hash.
func (v version) crypt(k *key, hash, counter *[blockSize]byte, dst, src *byte, groups int, open bool) {
	switch v { // not by a function's value, through which all would escape
	case 512:
		crypt512(k, hash, counter, dst, src, groups, open)
	case 256:
		crypt256(k, hash, counter, dst, src, groups, open)
	case 128:
		crypt128(k, hash, counter, dst, src, groups, open)
	}
}

//go:noescape
func crypt512(k *key, hash, counter *[blockSize]byte, dst, src *byte, groups int, open bool)

//go:noescape
func crypt256(k *key, hash, counter *[blockSize]byte, dst, src *byte, groups int, open bool)

//go:noescape
func crypt128(k *key, hash, counter *[blockSize]byte, dst, src *byte, groups int, open bool)

// agrees compares v with crypto/cipher, on keys of both sizes and a message with
// whole groups, single blocks and a part of one. First there is no data before
// it: then nothing has been hashed when the first group is.
func (v version) agrees() bool {
	plain := make([]byte, 2*v.group()+5*blockSize+3)
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
		ours := v.newAEAD(secret)
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
