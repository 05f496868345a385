package firewall

import (
	"encoding/binary"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// condition says whether the packet gets past one expression of a rule. What only loads a register,
// or does something beside the filter, lets it past.
func (w *walk) condition(t *table, e expr.Any) tri {
	switch e := e.(type) {
	case *expr.Meta:
		if !e.SourceRegister {
			w.registers[e.Register] = w.meta(e.Key)
		}
	case *expr.Payload:
		if e.OperationType == expr.PayloadLoad {
			w.registers[e.DestRegister] = w.payload(e)
		}
	case *expr.Ct:
		if !e.SourceRegister {
			w.registers[e.Register] = unknown(16)
			if w.tracked {
				w.registers[e.Register] = w.conntrack(e.Key)
			}
		}
	case *expr.Fib:
		w.registers[e.Register] = w.fib(e)
	case *expr.Immediate:
		w.registers[e.Register] = exactly(e.Data...)
	case *expr.Bitwise:
		w.registers[e.DestRegister] = w.registers[e.SourceRegister].bitwise(e.Mask, e.Xor)
	case *expr.Hash:
		w.registers[e.DestRegister] = unknown(16)
	case *expr.Numgen:
		w.registers[e.Register] = unknown(16)
	case *expr.Exthdr:
		if e.SourceRegister == 0 {
			w.registers[e.DestRegister] = unknown(256)
		}
	case *expr.Cmp:
		return compared(w.registers[e.Register], e.Op, e.Data)
	case *expr.Range:
		v := w.registers[e.Register]
		in := compared(v, expr.CmpOpGte, e.FromData).and(compared(v, expr.CmpOpLte, e.ToData))
		if e.Op == expr.CmpOpNeq {
			return in.not()
		}
		return in
	case *expr.Lookup:
		s := t.sets[e.SetName]
		if s == nil {
			return maybe
		}
		if e.IsDestRegSet { // a map of values
			w.registers[e.DestRegister] = unknown(16)
		}
		in := s.has(w.registers[e.SourceRegister])
		if e.Invert {
			return in.not()
		}
		return in
	case *expr.Match:
		return w.match(e)
	case *expr.Limit, *expr.Quota, *expr.Connlimit:
		return maybe
	case *expr.Dynset:
		if len(e.Exprs) > 0 {
			return maybe
		}
	case *expr.Objref:
		if e.Type == unix.NFT_OBJECT_LIMIT || e.Type == unix.NFT_OBJECT_QUOTA {
			return maybe
		}
	}
	return yes
}

func compared(v value, op expr.CmpOp, data []byte) tri {
	switch op {
	case expr.CmpOpEq:
		return v.equals(data)
	case expr.CmpOpNeq:
		return v.equals(data).not()
	}
	order, known := v.compare(data)
	if !known {
		return maybe
	}
	switch op {
	case expr.CmpOpLt:
		return truth(order < 0)
	case expr.CmpOpLte:
		return truth(order <= 0)
	case expr.CmpOpGt:
		return truth(order > 0)
	}
	return truth(order >= 0)
}

// match is one of iptables' own conditions, which iptables-nft leaves to the modules of old
// (linux/netfilter/xt_*.h).
func (w *walk) match(e *expr.Match) tri {
	switch info := e.Info.(type) {
	case *xt.Comment:
		return yes
	case *xt.Tcp:
		source := maybe // the port that is connected from
		if info.SrcPorts == [2]uint16{0, 0xffff} {
			source = yes
		}
		if info.InvFlags&xt.TcpInvSrcPorts != 0 {
			source = source.not()
		}
		port := truth(info.DstPorts[0] <= w.Port && w.Port <= info.DstPorts[1]) == yes
		flags := syn&info.FlagsMask == info.FlagsCmp
		is := source.and(truth(port != (info.InvFlags&xt.TcpInvDestPorts != 0))).and(truth(flags != (info.InvFlags&xt.TcpInvFlags != 0)))
		if info.Option != 0 {
			return is.and(maybe)
		}
		return is
	case *xt.AddrTypeV1:
		return w.addressTypes(info)
	case *xt.ConntrackMtinfo1:
		return w.states(info.ConntrackMtinfoBase, uint16(info.StateMask))
	case *xt.ConntrackMtinfo2:
		return w.states(info.ConntrackMtinfoBase, info.StateMask)
	case *xt.ConntrackMtinfo3:
		return w.states(info.ConntrackMtinfoBase, info.StateMask)
	case *xt.Unknown:
		switch {
		case e.Name == "multiport" && e.Rev == 1:
			return w.ports(*info)
		case e.Name == "state" && len(*info) >= 4 && w.tracked:
			return truth(binary.NativeEndian.Uint32(*info)&expr.CtStateBitNEW != 0)
		}
	}
	return maybe
}

// addressTypes are sets of them: bits by the kernel's numbers.
func (w *walk) addressTypes(info *xt.AddrTypeV1) tri {
	source, dest := uint16(1<<rtnUnicast), uint16(1<<rtnLocal)
	if w.Leaves {
		source, dest = dest, source
	}
	const invertSource, invertDest = 1, 2
	is := yes
	if info.Source != 0 {
		is = is.and(truth((info.Source&source != 0) != (info.Flags&invertSource != 0)))
	}
	if info.Dest != 0 {
		is = is.and(truth((info.Dest&dest != 0) != (info.Flags&invertDest != 0)))
	}
	if info.Flags&^(invertSource|invertDest) != 0 {
		return is.and(maybe) // by an interface
	}
	return is
}

// states is about the state of a connection, and maybe about more of it.
func (w *walk) states(info xt.ConntrackMtinfoBase, states uint16) tri {
	const state = uint16(xt.ConntrackState | xt.ConntrackStateAlias)
	if !w.tracked || info.MatchFlags&state == 0 {
		return maybe
	}
	is := truth((uint32(states)&expr.CtStateBitNEW != 0) != (info.InvertFlags&state != 0))
	if info.MatchFlags&^state != 0 {
		return is.and(maybe)
	}
	return is
}

// ports is struct xt_multiport_v1: which ports are meant, how many there are, 15 of them, whether a
// range begins with each, and whether all of it is inverted.
func (w *walk) ports(info []byte) tri {
	const dest, most = 1, 15
	if len(info) < 2+2*most+most+1 || info[0] != dest || info[1] > most {
		return maybe
	}
	port := func(i int) uint16 { return binary.NativeEndian.Uint16(info[2+2*i:]) }
	in := false
	for i := 0; i < int(info[1]); i++ {
		first := port(i)
		last := first
		if info[2+2*most+i] != 0 && i+1 < int(info[1]) {
			i++
			last = port(i)
		}
		in = in || first <= w.Port && w.Port <= last
	}
	return truth(in != (info[2+2*most+most] != 0))
}
