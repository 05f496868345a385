// Package guests_test runs tests in guests that boot Debian's kernels: kernel TLS and Landlock in
// QEMU's emulation, since a machine's own kernel may have none, or only one version; and AES-GCM in
// that of Bochs, for processors that this machine's is not. Nothing but these guests' loopback is used.
package guests_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/needs"
)

// program is what a guest runs.
type program struct {
	name string
	path string
	args []string
}

// build makes a static program of one of this module's packages: its tests, or if main it itself.
func build(t *testing.T, pkg string, main bool) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	args := []string{"test", "-c", "-tags", "kerneltls", "-o", out, pkg}
	if main {
		args = []string{"build", "-buildvcs=false", "-o", out, pkg}
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
	return out
}

// image is the kernel that is in a folder of its files.
func image(t *testing.T, root string) string {
	t.Helper()
	images, _ := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*"))
	if len(images) != 1 {
		t.Fatalf("kernel images in %s: %q", root, images)
	}
	return images[0]
}

// writeInitramfs writes what a guest has: its first process, and what that one loads and runs.
func writeInitramfs(t *testing.T, path, init string, programs []program, modules []module) {
	t.Helper()
	var fs initramfs
	fs.add("init", read(t, init))
	fs.add("etc/hosts", []byte("127.0.0.1 localhost\n"))
	for i, m := range modules {
		fs.add("modules/"+string(rune('a'+i))+"-"+m.name, m.data)
	}
	for _, p := range programs {
		fs.add("run/"+p.name, read(t, p.path))
		fs.add("args/"+p.name, []byte(strings.Join(p.args, "\n")))
	}
	if err := os.WriteFile(path, fs.archive(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// boot runs the programs in a guest and returns what its console says. It fails
// the test unless all of them went well.
func (k kernel) boot(t *testing.T, init string, programs []program, more ...string) string {
	t.Helper()
	needs.Program(t, "qemu-system-x86_64", "xz")
	root := k.unpacked(t)
	ram := filepath.Join(t.TempDir(), "initramfs")
	writeInitramfs(t, ram, init, programs, modules(t, root))
	args := append([]string{"-accel", "tcg", "-cpu", "max,la57=off,-erms,-fsrm", "-m", "1024", "-nodefaults", "-no-user-config",
		"-display", "none", "-serial", "stdio", "-no-reboot", "-kernel", image(t, root), "-initrd", ram,
		"-append", "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check"}, more...)
	cmd := exec.CommandContext(t.Context(), "qemu-system-x86_64", args...)
	var console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &console, &console
	began := time.Now()
	err := cmd.Run()
	text := strings.ReplaceAll(console.String(), "\r\n", "\n")
	if err != nil || !strings.Contains(text, "guest: passed\n") {
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
	t.Logf("guest with %s: %.0f s", filepath.Base(root), time.Since(began).Seconds())
	return text
}

// relayTests are the relay's tests of every path, for that of kernel TLS.
const relayTests = "^Test(BothDirections|HalfClose|EmptyStream|Sizes|FramesBeforeTheStream|AutoGoesByTheSelfTest|SpliceReallyRan|KernelTook|Truncation|FailureIsReset|" +
	"CancelIsNoOrderlyEnd|CloseIsNoOrderlyEnd|CancelWhileBlocked|LocalDies|PeerReset|BudgetIsExact)$/"

// proofs must be among what a guest's tests say: that the kernel took the streams,
// and each way between its ends.
var proofs = []string{
	"TestSelfTest", "TestAutoGoesByTheSelfTest", "TestSpliceReallyRan/ktls", "TestKernelTook/ktls", "TestKernelTook/ktls_send", "TestKernelTook/ktls_receive",
	"TestBothDirections/ktls", "TestBothDirections/ktls_tcp", "TestBothDirections/ktls_to_records", "TestBothDirections/ktls_to_crypto/tls",
	"TestBothDirections/ktls_ChaCha20", "TestTunnelsInTheKernel", "TestConfined",
}

func TestKernels(t *testing.T) {
	t.Parallel()
	init := build(t, "./init", true)
	programs := []program{
		{"1-ktls", build(t, "../../stream/ktls", false), []string{"-test.v", "-test.timeout=3m"}},
		{"2-relay", build(t, "../../stream/relay", false), []string{"-test.v", "-test.timeout=4m", "-test.run=" + relayTests + "^ktls"}},
		{"3-sluice", build(t, "../../cmd/sluice", false), []string{"-test.v", "-test.timeout=3m", "-test.run=^TestTunnelsInTheKernel$"}},
		{"4-confine", build(t, "../../internal/confine", false), []string{"-test.v", "-test.timeout=1m", "-test.run=^TestConfined$"}},
	}
	for _, k := range kernels {
		t.Run(k.series, func(t *testing.T) {
			t.Parallel()
			text := k.boot(t, init, programs)
			for _, name := range proofs {
				if !strings.Contains(text, "--- PASS: "+name+" (") {
					t.Errorf("%s has not run", name)
				}
			}
			if version := fmt.Sprintf(": version %d\n", k.landlock); !strings.Contains(text, version) {
				t.Errorf("no Landlock of %s", version)
			}
			if t.Failed() || strings.Contains(text, "--- SKIP") {
				t.Fatalf("not everything was tested\n%s", text)
			}
		})
	}
}
