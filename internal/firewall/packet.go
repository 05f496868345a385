package firewall

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// A Connection is one whose first packet is to come to this host from a peer, or to leave for one.
type Connection struct {
	Peer   netip.Addr // invalid: any, by IPv4
	Port   uint16     // where it is listened for
	Leaves bool       // it is this host that connects
}

// syn is the only flag of a connection's first packet (RFC 9293, section 3.1).
const syn = 0x02

// What the kernel counts routes and addresses as (rtm_type, linux/rtnetlink.h).
const (
	rtnUnicast = 1
	rtnLocal   = 2
)

// A packet is what is known of a connection's first one.
type packet struct {
	Connection
	network, transport value
}

func (c Connection) packet() *packet {
	c.Peer = c.Peer.Unmap()
	p := &packet{Connection: c, transport: unknown(20)}
	known(p.transport, 2, binary.BigEndian.AppendUint16(nil, c.Port)...)
	known(p.transport, 13, syn)
	peer, at := c.Peer.AsSlice(), uint32(12) // source and destination, RFC 791, section 3.1
	if p.six() {
		p.network, at = unknown(40), 8 // RFC 8200, section 3
		known(p.network, 6, unix.IPPROTO_TCP)
	} else {
		p.network = unknown(20)
		known(p.network, 9, unix.IPPROTO_TCP)
	}
	if c.Leaves {
		at += uint32(len(peer))
	}
	known(p.network, at, peer...)
	return p
}

// known makes bytes of v known.
func known(v value, offset uint32, data ...byte) {
	for i := range data {
		v.data[offset+uint32(i)], v.known[offset+uint32(i)] = data[i], 0xff
	}
}

func (p *packet) six() bool { return p.Peer.Is6() }

// passes says whether chains of a family and at a hook see the packet.
func (p *packet) passes(family nftables.TableFamily, hook nftables.ChainHook) bool {
	switch family {
	case nftables.TableFamilyINet:
	case nftables.TableFamilyIPv4:
		if p.six() {
			return false
		}
	case nftables.TableFamilyIPv6:
		if !p.six() {
			return false
		}
	default:
		return false
	}
	if p.Leaves {
		return hook == *nftables.ChainHookOutput || hook == *nftables.ChainHookPostrouting
	}
	return hook == *nftables.ChainHookPrerouting || hook == *nftables.ChainHookInput
}

func (p *packet) payload(e *expr.Payload) value {
	switch e.Base {
	case expr.PayloadBaseNetworkHeader:
		return p.network.part(e.Offset, e.Len)
	case expr.PayloadBaseTransportHeader:
		return p.transport.part(e.Offset, e.Len)
	}
	return unknown(int(min(e.Len, 256)))
}

// meta is what the kernel knows of a packet beside its bytes.
func (p *packet) meta(key expr.MetaKey) value {
	proto, ether := byte(unix.NFPROTO_IPV4), uint16(unix.ETH_P_IP)
	if p.six() {
		proto, ether = unix.NFPROTO_IPV6, unix.ETH_P_IPV6
	}
	switch key {
	case expr.MetaKeyL4PROTO:
		return exactly(unix.IPPROTO_TCP)
	case expr.MetaKeyNFPROTO:
		return exactly(proto)
	case expr.MetaKeyPROTOCOL:
		return exactly(binary.BigEndian.AppendUint16(nil, ether)...)
	case expr.MetaKeyIIFNAME, expr.MetaKeyOIFNAME:
		return unknown(unix.IFNAMSIZ, []byte("lo\x00")...)
	case expr.MetaKeyIIF, expr.MetaKeyOIF:
		return unknown(4, native(loopback)...)
	case expr.MetaKeyPKTTYPE:
		return exactly(unix.PACKET_HOST)
	}
	return unknown(16)
}

// loopback is lo's number in every network namespace (LOOPBACK_IFINDEX, include/net/flow.h).
const loopback = 1

func native(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

// conntrack is what connection tracking says of the packet, where it has seen it.
func (p *packet) conntrack(key expr.CtKey) value {
	switch key {
	case expr.CtKeySTATE:
		return exactly(native(expr.CtStateBitNEW)...)
	case expr.CtKeySTATUS:
		return exactly(native(0)...)
	case expr.CtKeyDIRECTION:
		return exactly(0) // the original one
	}
	return unknown(16)
}

// fib is what the routes say of an address. The packet is for this host or from it, and comes by the
// way that leads back.
func (p *packet) fib(e *expr.Fib) value {
	switch {
	case e.FlagPRESENT:
		return exactly(1)
	case e.ResultADDRTYPE && e.FlagDADDR == p.Leaves:
		return exactly(native(rtnUnicast)...)
	case e.ResultADDRTYPE:
		return exactly(native(rtnLocal)...)
	case e.ResultOIF:
		return unknown(4, native(0)...)
	}
	return unknown(unix.IFNAMSIZ, 0)
}
