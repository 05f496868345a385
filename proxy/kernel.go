package proxy

import (
	"crypto/tls"
	"errors"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/stream/ktls"
	"github.com/virt-sluice/sluice/stream/relay"
)

// tls is which path a connection with a peer takes: the best one, but for what the
// configuration keeps from the kernel.
func (d *Peers) tls() relay.TLS {
	k := d.Config.KernelTLS
	return relay.TLS{Kernel: relay.Kernel{NotSend: k.Send == config.KernelOff, NotReceive: k.Receive == config.KernelOff}}
}

// tryKernel runs the self-tests of kernel TLS before the first channel asks for
// their outcome, and logs it where there is any.
func (d *Peers) tryKernel() {
	if k := d.tls().Kernel; k.NotSend && k.NotReceive {
		return
	}
	for _, suite := range ktls.Suites {
		s := ktls.Test(suite)
		if errors.Is(s.Send, ktls.ErrNone) {
			return
		}
		d.Log.Info().Str("suite", tls.CipherSuiteName(suite)).AnErr("send", s.Send).AnErr("receive", s.Receive).AnErr("rekey", s.Rekey).
			Msg("kernel TLS was tried; what has no error works, and is used if all do")
	}
}

// kernelTLS says whether channels may go by the kernel's TLS, in one direction
// at least.
func (d *Peers) kernelTLS() bool {
	k := d.tls().Kernel
	for _, suite := range ktls.Suites {
		s := ktls.Test(suite)
		if s.Rekey == nil && (s.Send == nil && !k.NotSend || s.Receive == nil && !k.NotReceive) {
			return true
		}
	}
	return false
}
