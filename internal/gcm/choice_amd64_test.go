package gcm

import (
	"crypto/fips140"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// tellChoice in the environment makes this test's program say what it chooses, and nothing else.
const tellChoice = "GCM_TELL_CHOICE"

func TestMain(m *testing.M) {
	if os.Getenv(tellChoice) != "" {
		fmt.Println(Chosen())
		return
	}
	m.Run()
}

// choiceWith is what a process with a GODEBUG chooses.
func choiceWith(t *testing.T, godebug string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), tellChoice+"=1", "GODEBUG="+godebug)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	return strings.TrimSpace(string(out))
}

// The best that the processor can run is chosen: were the comparison with
// crypto/cipher in the way, nobody would see that all goes the slow way.
func TestChosen(t *testing.T) {
	want := standardName
	for _, v := range versions {
		if v.lack() == "" && !fips140.Enabled() && !(v == 512 && slowed()) {
			want = fmt.Sprintf("sluice's own on %v", v)
			break
		}
	}
	if c := Chosen(); c.Name != want || c.Why == "" {
		t.Errorf("%v is chosen, want %s", c, want)
	}
}

func TestSettingsChoose(t *testing.T) {
	for godebug, want := range map[string]string{
		"fips140=on":                "Go's: FIPS 140-3 mode allows no other",
		"cpu.all=off":               "Go's: GODEBUG turns off AES",
		"cpu.aes=off":               "Go's: GODEBUG turns off AES",
		"http2debug=0,cpu.avx2=off": "Go's: GODEBUG turns off AVX2",
		"cpu.vpclmulqdq=off":        "Go's: GODEBUG turns off VPCLMULQDQ",
		"cpu.avx512f=off":           "sluice's own on 256 bits: GODEBUG turns off AVX512F",
	} {
		if got := choiceWith(t, godebug); got != want && !strings.Contains(got, "this processor lacks") {
			t.Errorf("GODEBUG=%s: %s, want %s", godebug, got, want)
		}
	}
}

func TestSlowedModels(t *testing.T) {
	for signature, want := range map[uint32]bool{
		0x606a6: true,  // Ice Lake-SP
		0x706e5: true,  // Ice Lake
		0x806c1: true,  // Tiger Lake
		0x50657: false, // Cascade Lake has no VAES
		0x806f8: false, // Sapphire Rapids
		0xc06f2: false, // Emerald Rapids
	} {
		if slowedModel(signature) != want {
			t.Errorf("%#x: %v", signature, !want)
		}
	}
}
