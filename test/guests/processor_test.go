package guests_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
)

// processors are models that between them run every AES-GCM of internal/gcm.
var processors = []struct{ model, version string }{
	{"arrow_lake", "256 bits"}, // VAES, and no AVX-512
	{"tigerlake", "512 bits"},
}

// gcmTests are those of internal/gcm that ask for a version, and the choice.
var gcmTests = []string{"TestChosen", "TestSameAsStandard", "TestSpecification", "TestOverNonce", "TestCounterWraps", "TestTampered", "TestMisuse"}

// TestProcessors runs internal/gcm's tests of the versions that this machine's
// processor lacks, on one that has them. The others run where they are.
func TestProcessors(t *testing.T) {
	tests := build(t, "../../internal/gcm", false)
	run := "-test.run=^(" + strings.Join(gcmTests, "|") + ")$"
	here, err := exec.CommandContext(t.Context(), tests, "-test.v", run).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, here)
	}
	for _, p := range processors {
		t.Run(p.version, func(t *testing.T) {
			missing := untested(string(here), p.version)
			if len(missing) == 0 && !*all {
				t.Skipf("this machine's processor runs AES-GCM on %s", p.version)
			}
			t.Parallel()
			if !haveBochs(t) {
				why := fmt.Sprintf("not tested: AES-GCM on %s, which this machine's processor lacks: without apt-get there is no Bochs to emulate one", p.version)
				if needs.Skipping() && os.Getenv("CI") != "true" {
					t.Skip(why)
				}
				t.Fatal(why)
			}
			text := fetchBochs(t).boot(t, kernels[1], p.model, build(t, "./init", true), []program{{"1-gcm", tests, []string{"-test.v", run}}})
			if missing := untested(text, p.version); len(missing) > 0 {
				t.Errorf("%s: not run: %v\n%s", p.model, missing, text)
			}
		})
	}
}

// untested are the tests of a version of which the output doesn't say that they passed.
func untested(output, version string) (missing []string) {
	for _, name := range gcmTests[1:] {
		if !strings.Contains(output, "--- PASS: "+name+"/"+strings.ReplaceAll(version, " ", "_")+" (") {
			missing = append(missing, name)
		}
	}
	return missing
}
