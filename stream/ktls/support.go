package ktls

import (
	"crypto/tls"
	"errors"
	"sync"
)

// Support is what this kernel can do for one suite, as its self-test found.
type Support struct {
	Suite         uint16
	Send, Receive error // nil: it can
	Rekey         error // nil: a key can be changed, in both directions
}

// tests are run once for each suite, when first asked for.
var tests = map[uint16]func() Support{
	tls.TLS_AES_128_GCM_SHA256:       sync.OnceValue(func() Support { return selfTest(tls.TLS_AES_128_GCM_SHA256) }),
	tls.TLS_AES_256_GCM_SHA384:       sync.OnceValue(func() Support { return selfTest(tls.TLS_AES_256_GCM_SHA384) }),
	tls.TLS_CHACHA20_POLY1305_SHA256: sync.OnceValue(func() Support { return selfTest(tls.TLS_CHACHA20_POLY1305_SHA256) }),
}

// Suites are those that the kernel may know.
var Suites = []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256}

// Test returns what the kernel can do for a suite. The first call for a suite
// tries it, which takes a few milliseconds where there is kernel TLS.
func Test(suite uint16) Support {
	if f := tests[suite]; f != nil {
		return f()
	}
	return Support{suite, ErrNone, ErrNone, ErrNone}
}

// Available returns nil if the kernel can send and receive one suite at least, and
// otherwise why not.
func Available() error {
	for _, suite := range Suites {
		if s := Test(suite); s.Send == nil && s.Receive == nil {
			return nil
		}
	}
	s := Test(Suites[0])
	return errors.Join(s.Send, s.Receive)
}
