package firewall

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/nftables"
)

// Sets have what the rules of intervals say, with and without ends, at and beside each edge.
func TestSetHas(t *testing.T) {
	key := func(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
	elements := func(text string) (all []nftables.SetElement) { // "5 9)" is the interval from 5 to 8
		for word := range strings.FieldsSeq(text) {
			n, end := strings.CutSuffix(word, ")")
			var k uint16
			for _, digit := range n {
				k = k*10 + uint16(digit-'0')
			}
			all = append(all, nftables.SetElement{Key: key(k), IntervalEnd: end})
		}
		return all
	}
	anything := nftables.SetElement{}
	for name, c := range map[string]struct {
		set      *nftables.Set
		elements []nftables.SetElement
		has, not []uint16
		maybe    []uint16
	}{
		"empty":                {&nftables.Set{}, nil, nil, []uint16{0, 7}, nil},
		"single values":        {&nftables.Set{}, elements("9 5 7"), []uint16{5, 7, 9}, []uint16{0, 4, 6, 8, 10, 65535}, nil},
		"intervals":            {&nftables.Set{Interval: true}, elements("0) 5 9) 20 21)"), []uint16{5, 8, 20}, []uint16{0, 4, 9, 19, 21, 65535}, nil},
		"intervals that touch": {&nftables.Set{Interval: true}, elements("9 12) 5 9)"), []uint16{5, 8, 9, 11}, []uint16{4, 12}, nil},
		"one without an end":   {&nftables.Set{Interval: true}, elements("5 9) 100"), []uint16{5, 100, 65535}, []uint16{9, 99}, nil},
		"with all others":      {&nftables.Set{}, append(elements("5 7"), anything), []uint16{5, 7}, nil, []uint16{6, 8}},
		"all others alone":     {&nftables.Set{}, []nftables.SetElement{anything}, nil, nil, []uint16{0, 6}},
		"concatenated":         {&nftables.Set{Concatenation: true}, elements("5 7"), nil, nil, []uint16{5, 6}},
	} {
		s := newSet(c.set, c.elements)
		for want, values := range map[tri][]uint16{yes: c.has, no: c.not, maybe: c.maybe} {
			for _, v := range values {
				if got := s.has(exactly(key(v)...)); got != want {
					t.Errorf("%s: %d gives %v, want %v", name, v, got, want)
				}
			}
		}
		if got := s.has(unknown(2)); len(c.elements) > 0 && got != maybe {
			t.Errorf("%s: what is not known gives %v", name, got)
		}
	}
}

// A blocklist is looked through as fast as the kernel does it, not once for each of its elements.
func BenchmarkBlocklist(b *testing.B) {
	var elements []nftables.SetElement
	for n := range uint32(100_000) {
		elements = append(elements, nftables.SetElement{Key: binary.BigEndian.AppendUint32(nil, n<<12)},
			nftables.SetElement{Key: binary.BigEndian.AppendUint32(nil, n<<12+uint32(1+rand.IntN(4000))), IntervalEnd: true})
	}
	rand.Shuffle(len(elements), func(i, j int) { elements[i], elements[j] = elements[j], elements[i] })
	s := newSet(&nftables.Set{Interval: true}, elements)
	if !bytes.Equal(s.elements[0].Key, make([]byte, 4)) {
		b.Fatal("not in order")
	}
	address := netip.MustParseAddr("192.0.2.7").AsSlice()
	for b.Loop() {
		s.has(exactly(address...))
	}
}
