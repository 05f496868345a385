package stream

import (
	"encoding/binary"
	"fmt"

	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// maxDepth is how deep maps and arrays of a frame may nest. Ours need three.
const maxDepth = 8

// checkShape reads the outline of b, one msgpack map, without decoding it:
// every claimed length must fit into the bytes that are there, and nesting is
// bounded. The msgpack library allocates a slice of whatever length is claimed
// and recurses as deep as the input nests, so nothing reaches it unchecked.
func checkShape(b []byte) error {
	if len(b) == 0 || !msgpcode.IsFixedMap(b[0]) && b[0] != msgpcode.Map16 && b[0] != msgpcode.Map32 {
		return fmt.Errorf("a frame holds no msgpack map: %w", ErrFrame)
	}
	open := make([]uint64, 1, maxDepth+1) // values still to come, per level
	open[0] = 1
	for i := 0; ; {
		for len(open) > 0 && open[len(open)-1] == 0 {
			open = open[:len(open)-1]
		}
		if len(open) == 0 {
			if i != len(b) {
				return fmt.Errorf("%d bytes behind a frame's map: %w", len(b)-i, ErrFrame)
			}
			return nil
		}
		open[len(open)-1]--
		size, values, err := outline(b[i:])
		if err != nil {
			return fmt.Errorf("byte %d of a frame: %w", i, err)
		}
		i += size
		// Each value has at least one byte.
		if values > uint64(len(b)-i) {
			return fmt.Errorf("byte %d of a frame claims %d values, but %d bytes follow: %w", i, values, len(b)-i, ErrFrame)
		}
		if values > 0 {
			if len(open) > maxDepth {
				return fmt.Errorf("byte %d of a frame nests deeper than %d: %w", i, maxDepth, ErrFrame)
			}
			open = append(open, values)
		}
	}
}

// outline says how many bytes the value at the start of b has, not counting
// the values within it, and how many values those are.
func outline(b []byte) (size int, values uint64, err error) {
	if len(b) == 0 {
		return 0, 0, fmt.Errorf("a value is missing: %w", ErrFrame)
	}
	c := b[0]
	switch {
	case msgpcode.IsFixedNum(c):
		return 1, 0, nil
	case msgpcode.IsFixedMap(c):
		return 1, 2 * uint64(c&msgpcode.FixedMapMask), nil
	case msgpcode.IsFixedArray(c):
		return 1, uint64(c & msgpcode.FixedArrayMask), nil
	case msgpcode.IsFixedString(c):
		return fits(b, 1+uint64(c&msgpcode.FixedStrMask))
	}
	switch c {
	case msgpcode.Nil, msgpcode.False, msgpcode.True:
		return 1, 0, nil
	case msgpcode.Uint8, msgpcode.Int8:
		return fits(b, 2)
	case msgpcode.Uint16, msgpcode.Int16, msgpcode.FixExt1:
		return fits(b, 3)
	case msgpcode.FixExt2:
		return fits(b, 4)
	case msgpcode.Uint32, msgpcode.Int32, msgpcode.Float:
		return fits(b, 5)
	case msgpcode.FixExt4:
		return fits(b, 6)
	case msgpcode.Uint64, msgpcode.Int64, msgpcode.Double:
		return fits(b, 9)
	case msgpcode.FixExt8:
		return fits(b, 10)
	case msgpcode.FixExt16:
		return fits(b, 18)
	}
	var width int // of the length that follows the code
	switch c {
	case msgpcode.Str8, msgpcode.Bin8, msgpcode.Ext8:
		width = 1
	case msgpcode.Str16, msgpcode.Bin16, msgpcode.Ext16, msgpcode.Array16, msgpcode.Map16:
		width = 2
	case msgpcode.Str32, msgpcode.Bin32, msgpcode.Ext32, msgpcode.Array32, msgpcode.Map32:
		width = 4
	default:
		return 0, 0, fmt.Errorf("0x%02x begins no msgpack value: %w", c, ErrFrame)
	}
	if len(b) < 1+width {
		return 0, 0, fmt.Errorf("a length is cut short: %w", ErrFrame)
	}
	var word [8]byte
	copy(word[8-width:], b[1:1+width])
	n, head := binary.BigEndian.Uint64(word[:]), uint64(1+width)
	switch c {
	case msgpcode.Array16, msgpcode.Array32:
		return 1 + width, n, nil
	case msgpcode.Map16, msgpcode.Map32:
		return 1 + width, 2 * n, nil
	case msgpcode.Ext8, msgpcode.Ext16, msgpcode.Ext32:
		head++ // the type
	}
	return fits(b, head+n)
}

func fits(b []byte, n uint64) (int, uint64, error) {
	if n > uint64(len(b)) {
		return 0, 0, fmt.Errorf("a value claims %d bytes of %d: %w", n, len(b), ErrFrame)
	}
	return int(n), 0, nil
}
