package gcm

import "encoding/binary"

// element is one of GF(2^128) as GCM has it (NIST SP 800-38D, 6.3): the highest
// bit of hi is the coefficient of x^0, the lowest of lo that of x^127.
//
// Its arithmetic takes the same time for all values. It is used for the few
// numbers that are made from a key, not for data.
type element struct{ hi, lo uint64 }

func elementOf(block []byte) element {
	return element{binary.BigEndian.Uint64(block), binary.BigEndian.Uint64(block[8:])}
}

// put stores e with the byte order of the registers that multiply by it.
func (e element) put(b *[16]byte) {
	binary.LittleEndian.PutUint64(b[:], e.lo)
	binary.LittleEndian.PutUint64(b[8:], e.hi)
}

// timesX returns e·x. x^128 is 1 + x + x^2 + x^7.
func (e element) timesX() element {
	out := -(e.lo & 1)
	return element{e.hi>>1 ^ out&0xe1<<56, e.lo>>1 | e.hi<<63}
}

// overX returns e/x. 1/x is 1 + x + x^6 + x^127.
func (e element) overX() element {
	out := -(e.hi >> 63)
	return element{(e.hi<<1 | e.lo>>63) ^ out&(0xc2<<56), e.lo<<1 ^ out&1}
}

// times returns e·f.
func (e element) times(f element) (p element) {
	for i := range 128 {
		word := e.hi
		if i >= 64 {
			word = e.lo
		}
		bit := -(word >> (63 - i%64) & 1)
		p.hi ^= f.hi & bit
		p.lo ^= f.lo & bit
		f = f.timesX()
	}
	return p
}
