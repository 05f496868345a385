// Package needs is what the tests of all packages share: what they need of the machine, how they act
// as another user, and how they read an error. A test that cannot run has not passed: it fails and
// names what is missing, unless SLUICE_SKIP_LAB=1 leaves out what needs root or other programs.
package needs

import (
	"os"
	"os/exec"
	"testing"
)

// SkipVariable, set to 1, skips what a machine can't run.
const SkipVariable = "SLUICE_SKIP_LAB"

// Skipping says whether it is set.
func Skipping() bool { return os.Getenv(SkipVariable) == "1" }

// Program fails a test on a machine without one of the programs.
func Program(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			missing(t, "the program "+name)
		}
	}
}

// Root fails a test that is not run as root.
func Root(t testing.TB, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "root, "+why)
	}
}

// File fails a test on a machine without a file, of that package.
func File(t testing.TB, path, of string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		missing(t, path+" of "+of)
	}
}

func missing(t testing.TB, what string) {
	t.Helper()
	if Skipping() {
		t.Skipf("needs %s; %s=1 leaves it out", what, SkipVariable)
	}
	t.Fatalf("needs %s: test/install installs the programs on Debian 12; %s=1 skips these tests", what, SkipVariable)
}
