package control

import (
	"slices"
	"strings"
)

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

	Name          string `json:"dname,omitempty"`          // at the destination; empty: the same
	XML           string `json:"xml,omitempty"`            // to run by at the destination; empty: libvirt's own
	PersistentXML string `json:"persistent_xml,omitempty"` // to be defined by there; empty: libvirt's own
	Offline       bool   `json:"offline,omitempty"`        // move the definition alone
	Suspend       bool   `json:"suspend,omitempty"`        // leave the guest paused at the destination

	CopyStorage    string `json:"copy_storage,omitempty"`
	CreateDisks    bool   `json:"create_disks,omitempty"` // make those that the destination lacks
	Synchronous    bool   `json:"copy_storage_synchronous_writes,omitempty"`
	Persistent     bool   `json:"persistent,omitempty"`
	UndefineSource bool   `json:"undefine_source,omitempty"`
	PostCopy       bool   `json:"postcopy,omitempty"` // switch after the first pass over memory
	PostCopyResume bool   `json:"postcopy_resume,omitempty"`
	AutoConverge   bool   `json:"auto_converge,omitempty"`
	AbortOnError   bool   `json:"abort_on_error,omitempty"`
	Compressed     bool   `json:"compressed,omitempty"` // by libvirt's own choice, unless Values say
	Unsafe         bool   `json:"unsafe,omitempty"`

	ParallelConnections int    `json:"parallel_connections,omitempty"` // 0: one memory channel
	Bandwidth           uint64 `json:"bandwidth,omitempty"`            // MiB/s; 0: no limit
	Timeout             int    `json:"timeout,omitempty"`              // seconds; 0: none
	TimeoutAction       string `json:"timeout_action,omitempty"`
	TLS                 string `json:"tls,omitempty"` // Yes, No or Unset

	// Auto has the daemon decide when to do what, for a goal: Yes, No or Unset. Of the goal, what is
	// empty is as the daemon's configuration has it.
	Auto        string   `json:"auto,omitempty"`
	MaxDowntime string   `json:"max_downtime,omitempty"` // for which the guest may stand still: "300ms"
	Deadline    string   `json:"deadline,omitempty"`     // for the whole: "10m", or "30s/GiB" of the guest's memory
	Allow       []string `json:"allow,omitempty"`        // what may be done to the guest: AllowSlow and others

	Values Values `json:"values,omitzero"`
}

// Check says what in a request no host could fulfil, as an *Error of wrong
// use; nil if there is nothing. Both ends call it.
func (r *MigrateRequest) Check() error {
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
	for _, check := range []func() error{r.checkDefinition, r.checkResume, r.Values.Check, r.checkValues, r.checkAuto} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// maxBandwidth in MiB/s: libvirt turns it into bytes in 63 bits.
const maxBandwidth = 1<<43 - 1

// maxDescription in bytes: what libvirt takes is 4 MiB for a string.
const maxDescription = 1 << 20

// checkDefinition looks at what the guest is to be at the destination.
func (r *MigrateRequest) checkDefinition() error {
	switch {
	case len(r.Name) > 1024 || strings.ContainsRune(r.Name, 0):
		return WrongUse("--dname is too long, or has a NUL in it")
	case max(len(r.XML), len(r.PersistentXML)) > maxDescription:
		return WrongUse("a description (--xml, --persistent-xml) may have %d bytes", maxDescription)
	case r.PersistentXML != "" && !r.Persistent:
		return WrongUse("--persistent-xml says by what the guest is to be defined at the destination: add --persistent")
	case !r.Offline:
	case !r.Persistent:
		return WrongUse("--offline moves the guest's definition alone: add --persistent")
	case r.CopyStorage != CopyNone:
		return WrongUse("--offline moves the guest's definition alone: copy the disks by other means, and leave out --copy-storage-all and --copy-storage-inc")
	case r.PostCopy || r.PostCopyResume || r.Timeout != 0 || r.Suspend || r.ParallelConnections != 0 || r.AutoConverge || r.Compressed:
		return WrongUse("--offline moves the guest's definition alone, and no memory: leave out --postcopy, --timeout, --suspend, --parallel, --auto-converge and --compressed")
	}
	if r.Suspend && r.PostCopy {
		return WrongUse("a guest in post-copy has to run, to fetch its memory: leave out --suspend or --postcopy")
	}
	return nil
}

// checkResume looks at what goes with a post-copy that goes on.
func (r *MigrateRequest) checkResume() error {
	switch {
	case !r.PostCopyResume:
	case r.CopyStorage != CopyNone:
		return WrongUse("resuming a broken post-copy moves the rest of memory; the disks were there before it began: leave out --copy-storage-all and --copy-storage-inc")
	case r.Timeout != 0:
		return WrongUse("resuming a broken post-copy has no timeout: the guest runs at the destination already, so there is nothing to suspend or to abort")
	case r.AutoConverge:
		return WrongUse("resuming a broken post-copy cannot converge by slowing the source: the guest runs at the destination already; leave out --auto-converge")
	case r.XML != "":
		return WrongUse("resuming a broken post-copy changes nothing of the guest, which runs at the destination already: leave out --xml")
	}
	return nil
}

// checkValues refuses an option whose condition is not there.
func (r *MigrateRequest) checkValues() error {
	several, methods := r.ParallelConnections > 0, r.Values.Lists[OptionCompression]
	switch {
	case r.CopyStorage == CopyNone && r.Synchronous:
		return WrongUse("--copy-storage-synchronous-writes is about copying disks: add --copy-storage-all or --copy-storage-inc")
	case r.CopyStorage == CopyNone && r.CreateDisks:
		return WrongUse("--create-disks makes the files that disks are copied into: add --copy-storage-all or --copy-storage-inc")
	case several && r.Compressed && methods == nil:
		return WrongUse("several connections have no compression by default: add --comp-methods zstd or --comp-methods zlib, or leave out --compressed")
	case several && methods != nil && (len(methods) > 1 || !r.Values.multifd()):
		return WrongUse("several connections take one method of compression: --comp-methods zstd or --comp-methods zlib")
	case !several && r.Values.multifd():
		return WrongUse("the methods zlib and zstd are for several connections: add --parallel")
	}
	for _, o := range r.Values.Given() {
		switch {
		case strings.HasPrefix(o.Name, OptionDisks) && r.CopyStorage == CopyNone:
			return WrongUse("--%s is about copying disks: add --copy-storage-all or --copy-storage-inc", o.Name)
		case strings.HasPrefix(o.Name, "auto-converge-") && !r.AutoConverge && !slices.Contains(r.Allow, AllowSlow):
			return WrongUse("--%s is about slowing the guest down: add --auto-converge, or --auto --allow slow", o.Name)
		case o.Name == "postcopy-bandwidth" && !r.PostCopy && !slices.Contains(r.Allow, AllowPostCopy):
			return WrongUse("--%s is about post-copy: add --postcopy, or --auto --allow postcopy", o.Name)
		case r.Offline:
			return WrongUse("--offline moves the guest's definition alone: leave out --%s", o.Name)
		}
	}
	return nil
}
