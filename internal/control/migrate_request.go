package control

import "strings"

// Three states of a setting that follows the host's default while unset.
const (
	Unset = ""
	Yes   = "yes"
	No    = "no"
)

// What CopyStorage may be.
const (
	CopyNone = ""
	CopyAll  = "all" // every writable disk, whole
	CopyInc  = "inc" // what the destination's copy lacks of its backing chain
)

// What happens when a migration's Timeout has passed.
const (
	TimeoutAbort    = "abort"
	TimeoutSuspend  = "suspend"  // pause the guest, so that the rest converges
	TimeoutPostCopy = "postcopy" // switch to post-copy; needs PostCopy
)

// MigrateRequest asks for one migration. The words are virsh's.
type MigrateRequest struct {
	Guest string `json:"guest"` // name, UUID or id at the source
	Peer  string `json:"peer"`  // as configured under [peers]

	CopyStorage    string `json:"copy_storage,omitempty"`
	Persistent     bool   `json:"persistent,omitempty"`
	UndefineSource bool   `json:"undefine_source,omitempty"`
	PostCopy       bool   `json:"postcopy,omitempty"` // switch after the first pass over memory
	PostCopyResume bool   `json:"postcopy_resume,omitempty"`
	AutoConverge   bool   `json:"auto_converge,omitempty"`
	Unsafe         bool   `json:"unsafe,omitempty"`

	ParallelConnections int    `json:"parallel_connections,omitempty"` // 0: one memory channel
	Bandwidth           uint64 `json:"bandwidth,omitempty"`            // MiB/s; 0: no limit
	Timeout             int    `json:"timeout,omitempty"`              // seconds; 0: none
	TimeoutAction       string `json:"timeout_action,omitempty"`
	TLS                 string `json:"tls,omitempty"` // Yes, No or Unset
}

// Check says what in a request no host could fulfil, as an *Error of wrong
// use; nil if there is nothing. Both ends call it.
func (r *MigrateRequest) Check() error {
	disks := r.CopyStorage != CopyNone
	switch {
	case r.Guest == "" || len(r.Guest) > 1024 || strings.ContainsRune(r.Guest, 0):
		return WrongUse("name a guest, by its name, UUID or id: `virsh list` shows those that run")
	case r.Peer == "" || len(r.Peer) > 255:
		return WrongUse("name a peer, as under [peers] in the daemon's configuration: `sluice status` shows them")
	case r.CopyStorage != CopyNone && r.CopyStorage != CopyAll && r.CopyStorage != CopyInc:
		return WrongUse("copy_storage is %q; it may be %q, %q or absent", r.CopyStorage, CopyAll, CopyInc)
	case r.TLS != Unset && r.TLS != Yes && r.TLS != No:
		return WrongUse("tls is %q; it may be %q, %q or absent, which follows the daemon's configuration", r.TLS, Yes, No)
	case r.ParallelConnections < 0 || r.ParallelConnections > 255:
		return WrongUse("parallel connections are %d; QEMU takes from 1 to 255", r.ParallelConnections)
	case r.Bandwidth > maxBandwidth:
		return WrongUse("bandwidth of %d MiB/s is beyond what libvirt takes (%d)", r.Bandwidth, uint64(maxBandwidth))
	case r.Timeout < 0:
		return WrongUse("timeout is %d; write seconds, from 1 up", r.Timeout)
	}
	switch r.TimeoutAction {
	case "":
	case TimeoutAbort, TimeoutSuspend, TimeoutPostCopy:
		if r.Timeout == 0 {
			return WrongUse("an action for the timeout is given without a timeout: add --timeout SECONDS")
		}
	default:
		return WrongUse("timeout action is %q; it may be %q, %q or %q", r.TimeoutAction, TimeoutAbort, TimeoutSuspend, TimeoutPostCopy)
	}
	if r.TimeoutAction == TimeoutPostCopy && !r.PostCopy {
		return WrongUse("a switch to post-copy at the timeout needs post-copy to be allowed from the start: add --postcopy")
	}
	if r.PostCopyResume {
		switch {
		case disks:
			return WrongUse("resuming a broken post-copy moves the rest of memory; the disks were there before it began: leave out --copy-storage-all and --copy-storage-inc")
		case r.Timeout != 0:
			return WrongUse("resuming a broken post-copy has no timeout: the guest runs at the destination already, so there is nothing to suspend or to abort")
		case r.AutoConverge:
			return WrongUse("resuming a broken post-copy cannot converge by slowing the source: the guest runs at the destination already; leave out --auto-converge")
		}
	}
	return nil
}

// maxBandwidth in MiB/s: libvirt turns it into bytes in 63 bits.
const maxBandwidth = 1<<43 - 1
