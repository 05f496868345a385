package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
)

// exposure is what systemd may find a unit's at most, in tenths: from 0 to 100, and "OK" from 20.
const exposure = "19"

func TestUnitsAreConfined(t *testing.T) {
	needs.Program(t, "systemd-analyze")
	units, err := filepath.Glob("*.service")
	if err != nil || len(units) == 0 {
		t.Fatalf("units: %q, %v", units, err)
	}
	for _, unit := range units {
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold="+exposure, "./"+unit).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Overall exposure level for") {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
}

// Mistyped settings are ignored by systemd, and so would confine nothing.
func TestUnitsAreUnderstood(t *testing.T) {
	needs.Program(t, "systemd-analyze")
	units, err := filepath.Glob("*.service")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() // with a program that is there
	for _, unit := range append(units, "sluice-observer.socket") {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, unit), []byte(strings.ReplaceAll(string(text), "/usr/bin/sluice", "/bin/true")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, unit := range units {
		c := exec.Command("systemd-analyze", "verify", "--man=no", "--generators=no", "--recursive-errors=no", filepath.Join(dir, strings.Replace(unit, "@", "@1", 1)))
		if out, err := c.CombinedOutput(); err != nil || strings.Contains(string(out), dir) {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
}
