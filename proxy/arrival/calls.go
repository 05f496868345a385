package arrival

import (
	"fmt"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/proxy/control"
)

// Calls of a migration's session, and the question about one that broke.
const (
	CallPrepare = "prepare"
	// CallPrepareWith is CallPrepare for a PrepareCall with Values. A sluice that knows of none would
	// leave them out without a word; it does not know this call, and refuses it.
	CallPrepareWith = "prepare with options"
	// CallPrepareDisks is CallPrepare for a PrepareCall with CreateDisks, for the same reason.
	CallPrepareDisks = "prepare, make disks"
	CallPostcopy     = "postcopy" // the guest is about to leave its source: no limit may cut the session off
	CallFinish       = "finish"
	AskOutcome       = "outcome"
)

// PrepareCall asks the destination for a QEMU that waits for the guest.
type PrepareCall struct {
	Name      string `msgpack:"name"`   // at the destination
	XML       string `msgpack:"xml"`    // the guest's description, as Begin gave it
	Cookie    []byte `msgpack:"cookie"` // libvirt's, from Begin; may hold secrets
	Flags     uint32 `msgpack:"flags"`  // VIR_MIGRATE_*, of migrationFlags
	Bandwidth uint64 `msgpack:"bandwidth,omitempty"`
	Parallel  int    `msgpack:"parallel,omitempty"`

	// PersistentXML, if the caller has given one, comes with the cookie of Finish. Here it is only
	// judged, before anything is started.
	PersistentXML string         `msgpack:"persistent_xml,omitempty"`
	Values        control.Values `msgpack:"values"`

	// CreateDisks are those to be made if their files are missing, by their targets in the guest, with
	// what the description does not say of them.
	CreateDisks map[string]CreateDisk `msgpack:"create_disks,omitempty"`
}

// CreateDisk is how one disk is to be made.
type CreateDisk struct {
	Size uint64 `msgpack:"size"` // bytes that the guest sees

	// Backing is the path of the image beneath, and BackingFormat its format, where only what that
	// lacks is copied. libvirt's description of a guest to be migrated has no images beneath that it
	// has found by itself.
	Backing       string `msgpack:"backing,omitempty"`
	BackingFormat string `msgpack:"backing_format,omitempty"`
}

// CallFor is the call that c goes by.
func (c *PrepareCall) CallFor() string {
	switch {
	case len(c.CreateDisks) > 0:
		return CallPrepareDisks
	case len(c.Values.Given()) > 0:
		return CallPrepareWith
	}
	return CallPrepare
}

type PrepareReply struct {
	Cookie []byte   `msgpack:"cookie"`
	Made   []string `msgpack:"made,omitempty"` // paths of disks that were missing, and are there now
}

// FinishCall tells the destination to run the guest, or to give up.
type FinishCall struct {
	Cookie    []byte `msgpack:"cookie"` // libvirt's, from Perform
	Cancelled bool   `msgpack:"cancelled"`
	Postcopy  bool   `msgpack:"postcopy,omitempty"` // the guest is split: Finish lasts until it is whole
}

// FinishReply says what came of Finish. Where libvirt has failed it and holds
// no guest any more, the call fails instead.
type FinishReply struct {
	Cookie   []byte `msgpack:"cookie"`
	Downtime int64  `msgpack:"downtime"` // nanoseconds, as libvirt measured it; 0: not known
	// Undecided says, in words, why no one can tell whether the guest runs at the destination:
	// libvirt has not answered, or its answer and what it holds do not go together.
	Undecided string `msgpack:"undecided,omitempty"`
}

// OutcomeAsk asks what became of the guest of a session that broke.
type OutcomeAsk struct {
	Session string `msgpack:"session"`
	UUID    string `msgpack:"uuid"`
}

// OutcomeReply is final: the session is over at the destination.
type OutcomeReply struct {
	Outcome string `msgpack:"outcome"`
	State   string `msgpack:"state"`          // in words
	Gone    bool   `msgpack:"gone,omitempty"` // libvirt holds no guest, whatever it held before
}

// Outcomes of a migration as the destination sees them.
const (
	OutcomeRuns      = "runs"      // the guest is there, whole
	OutcomeAbsent    = "absent"    // it has not run there, and can't come to
	OutcomeUndecided = "undecided" // neither
)

// migrationFlags are those a source may ask the destination for. No others
// reach libvirt: data goes through the session or not at all.
const migrationFlags = libvirt.MigrateLive | libvirt.MigratePersistDest | libvirt.MigrateUndefineSource |
	libvirt.MigratePaused | libvirt.MigrateNonSharedDisk | libvirt.MigrateNonSharedInc |
	libvirt.MigrateChangeProtection | libvirt.MigrateUnsafe | libvirt.MigrateAutoConverge |
	libvirt.MigratePostcopy | libvirt.MigrateParallel | libvirt.MigratePostcopyResume |
	libvirt.MigrateOffline | libvirt.MigrateCompressed | libvirt.MigrateNonSharedSynchronousWrites

// CheckFlags refuses others.
func CheckFlags(flags libvirt.DomainMigrateFlags) error {
	if odd := flags &^ migrationFlags; odd != 0 {
		return fmt.Errorf("migration flags 0x%x are not carried by sluice", uint32(odd))
	}
	return nil
}

// SourceOnlyFlags mean nothing to the destination; libvirt's client library leaves them out too.
const SourceOnlyFlags = libvirt.MigrateChangeProtection | libvirt.MigrateAbortOnError | libvirt.MigrateAutoConverge
