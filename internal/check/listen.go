package check

import (
	"context"
	"errors"
	"net"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/proxy/control"
)

// listen looks whether peers can be listened for.
func (h *Host) listen(ctx context.Context, l *control.Findings) {
	const listen = "listen"
	if h.Listening != "" {
		l.OK(listen, "the daemon listens on %s", h.Listening)
		return
	}
	if runs(h.Config.RunDir) {
		l.OK(listen, "a daemon runs, which listens on %s by its configuration", h.Config.Listen)
		return
	}
	var lc net.ListenConfig
	s, err := lc.Listen(ctx, "tcp", h.Config.Listen)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		l.Fail(listen, "port-taken", "turn libvirtd's own TLS listener off (listen_tls, libvirtd-tls.socket) if it is that, or set listen to another port, and address on the other hosts",
			"another program listens on %s: sluice could not", h.Config.Listen)
	case err != nil:
		l.Fail(listen, "listen", "set listen to an address of this host", "%v", err)
	default:
		s.Close()
		l.OK(listen, "%s is free for sluice, which does not run", h.Config.Listen)
	}
}
