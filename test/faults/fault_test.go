package faults

import (
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
)

// A fault is what strikes a migration.
type fault struct {
	name   string
	strike func(s *stage) error
	// lasts is how long it is until mend, which ends the fault or does what an operator or systemd
	// would. forGood: until it must have been told what became of the migration.
	lasts time.Duration
	mend  func(s *stage) error

	at    []string // the moments that it is for; nil: all
	kinds []string // nil: all
	ways  []string // nil: all

	hits  string               // which process, or "link", "caller", "guest", …; empty where nothing is to fail
	setUp func(s *stage) error // before the daemons start
	spec  func(spec *lab.GuestSpec)

	apart bool // the sluices may not be able to tell each other the cause
	ends  bool // the guest has ended then, or may have, where it was struck
}

const forGood = -1

// whole are the moments within a migration.
var whole = []string{"prepare", "copy", "switch", "finish"}

func faults() (list []*fault) {
	for _, group := range [][]*fault{processFaults(), linkFaults(), hostFaults(), credentialFaults(), callerFaults(), guestFaults(), clockFaults(), resetFaults(), upgradeFaults()} {
		list = append(list, group...)
	}
	return list
}
