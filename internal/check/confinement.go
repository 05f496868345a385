package check

import (
	"slices"
	"strings"

	"kernel.org/pub/linux/libs/security/libcap/cap"

	"github.com/virt-sluice/sluice/internal/confine"
	"github.com/virt-sluice/sluice/proxy/control"
)

// confinement says what the daemon may do to this host, and what it can't do for want of rights.
func (h *Host) confinement(l *control.Findings) {
	const name = "confinement"
	c := h.Confinement
	if c == nil { // the daemon may have other rights than this command
		return
	}
	has := "no capabilities"
	if len(c.Capabilities) > 0 {
		has = strings.Join(c.Capabilities, " ")
	}
	switch {
	case c.Landlock > 0:
		l.OK(name, "uid %d, %s; Landlock (version %d) forbids it all files but those that it needs", c.UID, has, c.Landlock)
	case c.LandlockError != "":
		l.OK(name, "uid %d, %s; Landlock does not restrict its files: %s", c.UID, has, c.LandlockError)
	default:
		l.OK(name, "uid %d, %s; Landlock does not restrict its files (landlock = %q)", c.UID, has, h.Config.Landlock)
	}
	for _, need := range confine.Needed(h.Config) {
		if held := need.Capability.String(); need.Capability != cap.KILL && !slices.Contains(c.Capabilities, held) { // fence tells of that
			held = strings.ToUpper(held)
			l.Warn(name, "capability", "add "+held+" to CapabilityBoundingSet= of sluice's unit, and restart it", "%s is missing, for %s", held, need.For)
		}
	}
	if c.Dumps {
		l.Warn(name, "dumps", "", "a crash of the daemon could leave keys and guests' memory in a core dump: prctl PR_SET_DUMPABLE failed")
	}
	h.observer(l)
}

// observer looks whether the owner of a TCP socket can be told.
func (h *Host) observer(l *control.Findings) {
	const name, remedy = "observer", "systemctl enable --now sluice-observer.socket, and restart sluice; or give the daemon CAP_SYS_PTRACE"
	const so = "stock clients' migrations with disks, and intercepted ones, are refused"
	uid, _, err := h.Config.QEMU()
	if err != nil {
		return // which another check tells
	}
	sees, err := h.Observer.Sees(uid)
	switch {
	case err != nil:
		l.Warn(name, "no-observer", remedy, "it can't be told which process has a TCP socket, so %s: %v", so, err)
	case !sees:
		l.Warn(name, "no-right", remedy, "it can't be told which process of uid %d has a TCP socket without CAP_SYS_PTRACE, so %s", uid, so)
	default:
		l.OK(name, "it can be told which of QEMU's processes has a socket (%s)", map[bool]string{true: "sluice-observer.socket", false: "by a child of the daemon"}[h.Confinement.ObserverUnit])
	}
}
