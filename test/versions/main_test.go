// Package versions moves guests between hosts of Debian 12, 13 and testing, by every way, and checks
// their memory.
//
//	go test ./test/versions                                 between Debian 12 and 13
//	go test ./test/versions -timeout 60m -args -all         all releases
//	go test ./test/versions -args -case '12 to 13/postcopy' what the regular expression matches
//
// Debian 12 is this machine. The other releases are roots (internal/roots), built when they are
// missing. With -results FILE the outcomes of -all become docs/versions.md.
package versions

import (
	"flag"
	"testing"

	"github.com/virt-sluice/sluice/internal/stand"
)

var (
	all     = flag.Bool("all", false, "run all releases, not Debian 12 and 13 alone")
	only    = flag.String("case", "", "run the cases that this regular expression matches as a whole")
	results = flag.String("results", "", "file for the table of outcomes; needs -all")
)

func TestMain(m *testing.M) {
	defer sluice.Remove()
	m.Run()
}

// sluice is what is tested.
var sluice stand.Built
