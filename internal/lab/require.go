package lab

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/needs"
)

// Require fails a test on a machine that cannot run a lab, and names what is missing; a test that
// cannot run is no test passed. With SLUICE_SKIP_LAB=1 it skips the test instead, whether or not
// the machine could.
func Require(t testing.TB) {
	t.Helper()
	if needs.Skipping() {
		t.Skip("needs the two-host lab, which " + needs.SkipVariable + "=1 leaves out")
	}
	if missing := Missing(); len(missing) > 0 {
		t.Fatalf("this machine cannot run the two-host lab: %s\ntest/install installs the programs on Debian 12; %s=1 skips these tests",
			strings.Join(missing, "; "), needs.SkipVariable)
	}
}

// Missing returns what this machine lacks to run a lab, in words. It is empty when nothing is
// missing.
func Missing() []string {
	var missing []string
	if os.Geteuid() != 0 {
		missing = append(missing, "not root")
	}
	for _, program := range []string{"libvirtd", "virsh", "qemu-system-x86_64", "nasm", "ip", "tc", "ss", "setpriv"} {
		if _, err := exec.LookPath(lookPath(program)); err != nil {
			missing = append(missing, "no program "+program)
		}
	}
	if _, _, err := QEMUUser(); err != nil {
		missing = append(missing, err.Error())
	}
	// A kernel without the file has no userfaultfd, or asks for no permission.
	if raw, err := os.ReadFile("/proc/sys/vm/unprivileged_userfaultfd"); err == nil && strings.TrimSpace(string(raw)) == "0" {
		missing = append(missing, "post-copy is not for "+qemuUser+": sysctl vm.unprivileged_userfaultfd=1 allows it")
	}
	// Being root is not enough in a container that was not given the capability, nor in a kernel
	// without them.
	probe := exec.Command("/bin/true")
	probe.SysProcAttr = &unix.SysProcAttr{Cloneflags: hostNamespaces}
	if err := probe.Run(); err != nil && os.Geteuid() == 0 {
		missing = append(missing, fmt.Sprintf("no new namespaces (mount, network, pid, uts, ipc): %v", err))
	}
	return missing
}
