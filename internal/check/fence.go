package check

import (
	"os"

	"kernel.org/pub/linux/libs/security/libcap/cap"

	"github.com/virt-sluice/sluice/proxy/control"
)

// fence looks whether guests' QEMU processes can be stopped while their destination takes them
// over.
func (h *Host) fence(l *control.Findings) {
	const name = "fence"
	uid, _, err := h.Config.QEMU()
	if err != nil {
		return // which another check tells
	}
	if _, err := os.Stat(h.Config.QEMUPIDs); err != nil {
		l.Warn(name, "no-pid-files", "set qemu_pids to the folder where libvirt keeps NAME.pid of each guest", "QEMU's processes can't be found (%v), so a guest could be resumed here although it runs at its destination", err)
		return
	}
	if h.Listening == "" { // the daemon may have other rights than this command
		l.OK(name, "libvirt's pid files of QEMU are in %s", h.Config.QEMUPIDs)
		return
	}
	may, err := mayKill(uid)
	switch {
	case err != nil:
		l.Warn(name, "unknown-rights", "", "whether QEMU's processes can be stopped can't be told: %v", err)
	case !may:
		l.Warn(name, "no-right", "give the daemon CAP_KILL (CapabilityBoundingSet= in its unit), or run it as QEMU's user", "QEMU's processes (uid %d) can't be stopped by uid %d without CAP_KILL, so a guest could be resumed here although it runs at its destination", uid, os.Geteuid())
	default:
		l.OK(name, "a guest's QEMU can be stopped while its destination takes the guest over")
	}
}

// mayKill says whether this process may signal those of uid.
func mayKill(uid int) (bool, error) {
	if os.Geteuid() == uid {
		return true, nil
	}
	return cap.GetProc().GetFlag(cap.Effective, cap.KILL)
}
