// Package evacuate tries `sluice evacuate` in a lab of three hosts: whole hosts are emptied, also
// while a destination dies, is full, or can't be reached, and while guests are busy. After each, every guest runs on exactly one
// host, with its memory as it should be.
//
//	go test ./test/evacuate             a host is emptied, then two towards each other
//	go test ./test/evacuate -args -all  everything
package evacuate

import (
	"flag"
	"testing"

	"github.com/virt-sluice/sluice/internal/stand"
)

var all = flag.Bool("all", false, "try everything, not a sample")

// onlyWithAll skips what is not of the sample.
func onlyWithAll(t *testing.T) {
	t.Helper()
	if !*all {
		t.Skip("make test-evacuate does this, too")
	}
}

func TestMain(m *testing.M) {
	defer sluice.Remove()
	m.Run()
}

// sluice is what is tried.
var sluice stand.Built
