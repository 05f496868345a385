package bench

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// A program that uses a processor is named.
func TestCheckQuiet(t *testing.T) {
	loop := exec.Command("sh", "-c", "while :; do :; done")
	if err := loop.Start(); err != nil {
		t.Fatal(err)
	}
	defer loop.Wait()
	defer loop.Process.Kill()
	err := CheckQuiet(t.Context())
	var busy *BusyError
	if !errors.As(err, &busy) || busy.Others < 0.05 || !strings.Contains(err.Error(), "--busy") {
		t.Fatalf("%v", err)
	}
	if !strings.Contains(strings.Join(busy.Who, "\n"), "sh (pid ") {
		t.Errorf("who used it: %q", busy.Who)
	}
}
