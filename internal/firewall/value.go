package firewall

import "bytes"

// A tri is whether a condition holds, as far as that can be told.
type tri int

const (
	no tri = iota
	yes
	maybe
)

func truth(b bool) tri {
	if b {
		return yes
	}
	return no
}

func (t tri) not() tri {
	switch t {
	case no:
		return yes
	case yes:
		return no
	}
	return maybe
}

func (t tri) and(o tri) tri {
	switch {
	case t == no || o == no:
		return no
	case t == maybe || o == maybe:
		return maybe
	}
	return yes
}

// A value is what a register of nftables holds, bit by bit as far as it is known.
type value struct {
	data, known []byte // bits of data count where known has them set
	never       []byte // what it is not, although nothing is known of it; may be nil
}

func exactly(data ...byte) value {
	return value{data: data, known: bytes.Repeat([]byte{0xff}, len(data))}
}

// unknown is a value of n bytes, which is not never.
func unknown(n int, never ...byte) value {
	return value{data: make([]byte, n), known: make([]byte, n), never: never}
}

// part is n bytes of v, from offset.
func (v value) part(offset, n uint32) value {
	if uint64(offset)+uint64(n) > uint64(len(v.data)) {
		return unknown(int(min(n, 256)))
	}
	return value{data: v.data[offset : offset+n], known: v.known[offset : offset+n]}
}

// bitwise is v AND mask XOR xor. A bit that the mask takes away is known.
func (v value) bitwise(mask, xor []byte) value {
	if len(mask) > len(v.data) || len(xor) != len(mask) {
		return unknown(len(mask))
	}
	r := unknown(len(mask))
	for i := range mask {
		r.data[i] = v.data[i]&mask[i] ^ xor[i]
		r.known[i] = v.known[i] | ^mask[i]
	}
	return r
}

func (v value) whole() bool { return bytes.Count(v.known, []byte{0xff}) == len(v.known) }

// equals says whether v begins with data.
func (v value) equals(data []byte) tri {
	if len(data) > len(v.data) {
		return maybe // of several registers
	}
	if v.never != nil && bytes.Equal(bytes.TrimRight(data, "\x00"), bytes.TrimRight(v.never, "\x00")) && len(data) >= len(v.never) {
		return no
	}
	is := yes
	for i := range data {
		switch known := v.known[i]; {
		case (v.data[i]^data[i])&known != 0:
			return no
		case known != 0xff:
			is = maybe
		}
	}
	return is
}

// compare is v's place beside data, as memcmp has it; known is false if that can't be told.
func (v value) compare(data []byte) (order int, known bool) {
	if len(data) > len(v.data) || !v.part(0, uint32(len(data))).whole() {
		return 0, false
	}
	return bytes.Compare(v.data[:len(data)], data), true
}
