package host

import (
	"fmt"
	"net"
	"slices"

	"github.com/virt-sluice/sluice/internal/sockets"
)

// Allowed says whether the process at the other end of a local socket may use
// it, and in words why not. The sockets are open to everyone, and the uid is
// looked at here, so that who may not gets a reason and not just EACCES.
func (h *Host) Allowed(c *net.UnixConn) error {
	cred, err := sockets.PeerCred(c)
	if err != nil {
		return fmt.Errorf("find out who is calling: %w", err)
	}
	if !slices.Contains(h.UIDs, cred.Uid) {
		return fmt.Errorf("uid %d may not use sluice on %s: run as root, or add the user to `users` in the daemon's configuration", cred.Uid, h.Config.Name)
	}
	return nil
}
