// Package faults strikes real migrations by faults, one in each case, at moments that are named or
// drawn, and checks what comes of it: that the guest runs on one host with its memory and disks as
// they should be, that nothing is left over, that everybody tells one cause, and in time.
//
//	go test ./test/faults                          a sample of the cases
//	go test ./test/faults -timeout 90m -args -all  all of them
//	go test ./test/faults -args -case p2p/memory/finish/link:down-40s -seed 7
//
// A case is WAY/KIND/MOMENT/FAULT, and each of the four words has a row in a table of its own. The
// seed decides about what is drawn: how far the copy is at the moment "copy", and how long after a
// moment a fault strikes. With -results DIR the outcomes go to RESULTS.md and results.json there.
package faults

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/virt-sluice/sluice/internal/stand"
)

var (
	all     = flag.Bool("all", false, "run all cases, not a sample")
	only    = flag.String("case", "", "run the cases that this regular expression matches as a whole")
	seed    = flag.Uint64("seed", 1, "what is drawn")
	results = flag.String("results", "", "folder for RESULTS.md and results.json")
)

func TestMain(m *testing.M) {
	flag.Parse()
	status := m.Run()
	if err := labs.down(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	sluice.Remove()
	os.Exit(status)
}

// sluice is what is struck.
var sluice stand.Built
