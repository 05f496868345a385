package rules

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// reg is the register that everything goes through.
const reg = unix.NFT_REG_1

// Where things are in headers: bytes from their start.
const (
	daddr4 = 16 // RFC 791, section 3.1
	daddr6 = 24 // RFC 8200, section 3
	dport  = 2  // RFC 9293, section 3.1
	flags  = 13
)

// TCP's flags (RFC 9293, section 3.1).
const (
	fin, syn, rst, ack = 0x01, 0x02, 0x04, 0x10
)

// natRangeProtoSpecified is NF_NAT_RANGE_PROTO_SPECIFIED
// (linux/netfilter/nf_nat.h): the port is given.
const natRangeProtoSpecified = 2

// exprs is the rule as the kernel runs it; String has the same in words.
func (r rule) exprs() []expr.Any {
	all := append(r.whose(),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg},
		equal(unix.IPPROTO_TCP),
		load(expr.PayloadBaseTransportHeader, dport, 2))
	if r.t.First == r.t.Last {
		all = append(all, equal(port(r.t.First)...))
	} else {
		all = append(all,
			&expr.Cmp{Op: expr.CmpOpGte, Register: reg, Data: port(r.t.First)},
			&expr.Cmp{Op: expr.CmpOpLte, Register: reg, Data: port(r.t.Last)})
	}
	all = append(all,
		load(expr.PayloadBaseTransportHeader, flags, 1),
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 1, Mask: []byte{fin | syn | rst | ack}, Xor: []byte{0}},
		equal(syn),
		&expr.Counter{})
	if !r.redirects {
		return append(all, &expr.Reject{Type: unix.NFT_REJECT_TCP_RST})
	}
	return append(all,
		&expr.Immediate{Register: reg, Data: port(r.t.Port)},
		&expr.Redir{RegisterProtoMin: reg, RegisterProtoMax: reg, Flags: natRangeProtoSpecified})
}

// whose are the expressions about where a packet goes to or comes from.
func (r rule) whose() []expr.Any {
	a := r.to.Addr
	switch {
	case !a.IsValid():
		key := expr.MetaKeyIIFNAME
		if r.leaves {
			key = expr.MetaKeyOIFNAME
		}
		return []expr.Any{
			&expr.Meta{Key: key, Register: reg},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: append([]byte("lo"), make([]byte, unix.IFNAMSIZ-2)...)},
		}
	case a.Is4():
		return []expr.Any{
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg}, equal(unix.NFPROTO_IPV4),
			load(expr.PayloadBaseNetworkHeader, daddr4, 4), equal(a.AsSlice()...),
		}
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg}, equal(unix.NFPROTO_IPV6),
		load(expr.PayloadBaseNetworkHeader, daddr6, 16), equal(a.AsSlice()...),
	}
}

func load(base expr.PayloadBase, offset, length uint32) expr.Any {
	return &expr.Payload{DestRegister: reg, Base: base, Offset: offset, Len: length}
}

func equal(data ...byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: data}
}

func port(p uint16) []byte { return binary.BigEndian.AppendUint16(nil, p) }

// comment is a rule's, as libnftnl writes it.
func (r rule) comment() []byte {
	if r.to.Peer == "" {
		return nil
	}
	return userdata.AppendString(nil, userdata.TypeComment, r.to.Peer)
}

// parse reads out of a rule in the kernel what sluice may have put there. That
// it is such a rule only a comparison with the whole table can say.
func parse(r *nftables.Rule) (t Table, to Route, packets uint64) {
	to.Peer, _ = userdata.GetString(r.UserData, userdata.TypeComment)
	for i, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Cmp:
			before, _ := r.Exprs[max(i-1, 0)].(*expr.Payload)
			switch {
			case before != nil && before.Base == expr.PayloadBaseNetworkHeader:
				to.Addr, _ = netip.AddrFromSlice(e.Data)
			case len(e.Data) == 2 && e.Op != expr.CmpOpLte:
				t.First = binary.BigEndian.Uint16(e.Data)
				t.Last = t.First
			case len(e.Data) == 2:
				t.Last = binary.BigEndian.Uint16(e.Data)
			}
		case *expr.Counter:
			packets = e.Packets
			e.Packets, e.Bytes = 0, 0
		case *expr.Immediate:
			if len(e.Data) == 2 {
				t.Port = binary.BigEndian.Uint16(e.Data)
			}
		}
	}
	return t, to, packets
}
