package packages

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// figures are those that docs/install.md tells of the program and what is packed of it.
var figures = regexp.MustCompile(`leaves out gRPC, which is\s([0-9.]+)\sof\sthe\sprogram's\s([0-9.]+)\sMiB\sand\s([0-9.]+)\sof\sthe\s([0-9.]+)\sms\sof\sCPU\stime\sthat\sit\stakes\sto\sstart\.\s` +
	`A\spackage\sor\sarchive\sis\s([0-9.]+)\sto\s([0-9.]+)\sMiB`)

// sizes holds docs/install.md to what the program and its packages are, so that nobody makes them
// larger, or slower to start, without seeing it.
func sizes(t *testing.T, program string, packed ...string) {
	t.Helper()
	m := figures.FindStringSubmatch(string(read(t, "../../docs/install.md")))
	if m == nil {
		t.Fatalf("docs/install.md does not say how large the program is, as %s", figures)
	}
	var told [6]float64
	for i := range told {
		told[i], _ = strconv.ParseFloat(m[i+1], 64)
	}
	without := filepath.Join(t.TempDir(), "sluice")
	c := exec.Command("go", "build", "-buildvcs=false", "-tags", "nogrpc", "-trimpath", "-ldflags", "-s -w", "-o", without, "./cmd/sluice")
	c.Dir, c.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("go build -tags nogrpc: %v\n%s", err, out)
	}
	// What is written grows by a few KiB with most changes; a dependency by more than this.
	const apart = 1 // MiB
	near := func(what string, is, said float64) {
		t.Helper()
		if is < said-apart || is > said+apart {
			t.Errorf("%s is %.2f MiB, and docs/install.md says %.1f: is it worth that? Then say so there", what, is, said)
		}
	}
	near("the program", mebibytes(t, program), told[1])
	near("gRPC in it", mebibytes(t, program)-mebibytes(t, without), told[0])
	for _, path := range packed {
		if is := mebibytes(t, path); is < told[4]-apart || is > told[5]+apart {
			t.Errorf("%s is %.2f MiB, and docs/install.md says %.1f to %.1f: is it worth that? Then say so there", filepath.Base(path), is, told[4], told[5])
		}
	}
	// A busy machine makes it dearer, and another processor may; what is done at each start makes it
	// dearer by far.
	const dear = 5
	if took := leastStart(t, program); took > time.Duration(dear*told[3]*float64(time.Millisecond)) {
		t.Errorf("the program takes %v of CPU time to start, and docs/install.md says %v ms", took, told[3])
	}
}

func mebibytes(t *testing.T, path string) float64 {
	t.Helper()
	s, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return float64(s.Size()) / (1 << 20)
}

// leastStart is the least CPU time that the program took to say its version, of many times.
func leastStart(t *testing.T, program string) (least time.Duration) {
	t.Helper()
	for i := range 20 {
		c := exec.Command(program, "version")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("sluice version: %v\n%s", err, out)
		}
		if took := c.ProcessState.UserTime() + c.ProcessState.SystemTime(); i == 0 || took < least {
			least = took
		}
	}
	return least
}
