package check

import (
	"crypto/tls"
	"errors"
	"strings"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/stream/ktls"
)

// kernel says what the kernel's self-test of TLS found, on which nothing depends
// but the path that channels take.
func (h *Host) kernel(l *control.Findings) {
	const what = "kernel TLS"
	if k := h.Config.KernelTLS; k.Send == config.KernelOff && k.Receive == config.KernelOff {
		l.OK(what, "off by the configuration (kernel_tls); sluice makes its records itself")
		return
	}
	var able, unable []string
	rekeys := true
	for _, suite := range ktls.Suites {
		s, name := ktls.Test(suite), tls.CipherSuiteName(suite)
		switch {
		case errors.Is(s.Send, ktls.ErrNone):
			l.OK(what, "not used: %v; sluice makes its records itself", s.Send)
			return
		case s.Send == nil && s.Receive == nil:
			able = append(able, name)
			rekeys = rekeys && s.Rekey == nil
		case s.Send != nil:
			unable = append(unable, name+": send: "+oneLine(s.Send))
		default:
			unable = append(unable, name+": receive: "+oneLine(s.Receive))
		}
	}
	failed := ""
	if len(unable) > 0 {
		failed = "; its self-test failed for " + strings.Join(unable, ", ")
	}
	switch {
	case len(able) == 0:
		l.OK(what, "not used%s; sluice makes its records itself", failed)
	case !rekeys:
		l.OK(what, "works for %s%s, but is not used: this kernel cannot change the keys of a connection (Linux 6.14 can); sluice makes its records itself",
			strings.Join(able, ", "), failed)
	default:
		l.OK(what, "used for %s%s", strings.Join(able, ", "), failed)
	}
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
