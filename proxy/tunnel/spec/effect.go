package spec

import (
	"errors"
	"fmt"
	"net/netip"
)

// What may be said of TLS. Nothing leaves it to the host.
const (
	Yes = "yes"
	No  = "no"
)

// Host is what holds on this host for all tunnels.
type Host struct {
	TLS           string // Yes or No for tunnels that say neither; Yes if empty
	RequireSecure bool   // nothing leaves the host in clear
}

// Effect is what comes of what was written of TLS, by the tunnel and by its
// host. What was written stays as it is.
type Effect struct {
	Listen, To bool   // which side has TLS
	Why        string // for a person
}

// TLS is Yes or No.
func (e Effect) TLS() string {
	if e.Listen || e.To {
		return Yes
	}
	return No
}

// side is an address as it matters to TLS.
type side struct {
	Address
	tcp     bool // TLS may be done there
	exposed bool // what passes there leaves the host, or comes from outside
}

func sideOf(a Address) (side, error) {
	s := side{Address: a}
	switch a.Kind {
	case TCP, TLS:
		s.tcp = true
		ip, err := netip.ParseAddr(a.Host())
		s.exposed = a.Host() != Localhost && (err != nil || !ip.IsLoopback())
	case FD:
		in, out, err := a.Inherited()
		if err != nil {
			return s, err
		}
		s.tcp = in.FD == out.FD && in.tcp()
		s.exposed = in.exposed() || out.exposed()
	}
	return s, nil
}

// Effect says which side has TLS, and why, or what is wrong with what was written of it:
//
//   - a side that is written tls: has it, and No contradicts that;
//   - with Yes, or nothing and a host whose default is Yes, the side that is TCP has
//     it; where both are, the one that is meant has to be written tls:;
//   - a side that leaves the host in clear is an error where RequireSecure says so.
//
// An inherited descriptor is what it is: one that is missing is an error.
func (s Spec) Effect() (e Effect, err error) {
	listen, err := sideOf(s.Listen)
	if err != nil {
		return e, err
	}
	to, err := sideOf(s.To)
	if err != nil {
		return e, err
	}
	e.Listen, e.To = s.Listen.Kind == TLS, s.To.Kind == TLS
	wanted, by := s.TLS, fmt.Sprintf("tls = %q", s.TLS)
	if wanted == "" {
		if wanted, by = s.Host.TLS, "this host's default"; wanted == "" {
			wanted = Yes
		}
	}
	switch {
	case wanted != Yes && wanted != No:
		return e, fmt.Errorf("tls is %q or %q, or left out for this host's default, not %q", Yes, No, wanted)
	case (e.Listen || e.To) && s.TLS == No:
		return e, errors.New(`an address begins with tls:, and tls = "no" contradicts it: write tcp: there, or leave tls out`)
	case e.Listen || e.To:
		e.Why = "an address begins with tls:"
	case wanted == No:
		e.Why = by
	case listen.tcp && to.tcp:
		return e, fmt.Errorf(`%s asks for TLS, and both sides are TCP: write tls: in place of tcp: on the side that is to have it, or tls = "no"`, by)
	case listen.tcp:
		e.Listen, e.Why = true, by
	case to.tcp:
		e.To, e.Why = true, by
	case s.TLS == Yes:
		return e, errors.New(`tls = "yes", and neither side is TCP: TLS is for what leaves the host`)
	default:
		e.Why = "neither side is TCP"
	}
	for _, end := range []struct {
		side
		tls bool
	}{{listen, e.Listen}, {to, e.To}} {
		if end.exposed && !end.tls && s.Host.RequireSecure {
			return e, fmt.Errorf(`%s would carry the stream beyond this host in clear, which require_secure forbids (it is on unless set): write tls: there, or an address of the loopback interface, or set require_secure = false in the configuration`, end.Address)
		}
	}
	return e, nil
}
