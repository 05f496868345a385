package peer

import (
	"crypto/tls"
	"errors"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/stream/ktls"
	"github.com/virt-sluice/sluice/stream/relay"
)

// TLS is which path a connection with a peer takes: the best one, but for what the
// configuration keeps from the kernel.
func (s *Set) TLS() relay.TLS {
	k := s.Config.KernelTLS
	return relay.TLS{Kernel: relay.Kernel{NotSend: k.Send == config.KernelOff, NotReceive: k.Receive == config.KernelOff}}
}

// TryKernel runs the self-tests of kernel TLS before the first channel asks for
// their outcome, and logs it where there is any.
func (s *Set) TryKernel() {
	if k := s.TLS().Kernel; k.NotSend && k.NotReceive {
		return
	}
	for _, suite := range ktls.Suites {
		tested := ktls.Test(suite)
		if errors.Is(tested.Send, ktls.ErrNone) {
			return
		}
		s.Log.Info().Str("suite", tls.CipherSuiteName(suite)).AnErr("send", tested.Send).AnErr("receive", tested.Receive).AnErr("rekey", tested.Rekey).
			Msg("kernel TLS self-test: fields without an error passed; used only if all pass")
	}
}

// KernelTLS says whether channels may go by the kernel's TLS, in one direction at least.
func (s *Set) KernelTLS() bool {
	k := s.TLS().Kernel
	for _, suite := range ktls.Suites {
		tested := ktls.Test(suite)
		if tested.Rekey == nil && (tested.Send == nil && !k.NotSend || tested.Receive == nil && !k.NotReceive) {
			return true
		}
	}
	return false
}
