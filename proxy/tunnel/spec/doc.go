// Package spec is what a person writes of a tunnel, and how that is checked: addresses, the side
// that has TLS, who is let in, limits.
//
//	s := spec.Spec{TLS: spec.Yes, Host: spec.Host{RequireSecure: true}}
//	s.Listen, err = spec.ParseAddress("unix:/run/nbd.sock")
//	s.To, err = spec.ParseAddress("tcp:host-b:10810")
//	err = s.Check()
//	effect, err := s.Effect()
//
// The configuration, the command line and package tunnel read it. It opens nothing: inherited
// descriptors are looked at, and taken over by package tunnel.
package spec
