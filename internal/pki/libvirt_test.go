package pki

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/needs"
)

// inNamespaces runs a script as root of its own mounts, network, host name and processes, with pki
// in the place of /etc/pki. Whatever it starts ends with it.
func inNamespaces(t *testing.T, pki, script string) string {
	t.Helper()
	needs.Root(t, "for namespaces")
	if out, err := exec.Command("unshare", "--mount", "--net", "--uts", "--pid", "--fork", "true").CombinedOutput(); err != nil {
		t.Fatalf("needs namespaces of its own: %v: %s", err, out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--net", "--uts", "--pid", "--mount-proc", "--fork", "--kill-child", "sh", "-ec", `
		mount --make-rprivate /
		mkdir -p "$SCRATCH/etc"
		# /etc/pki may not be there, and /etc is not ours to add it.
		mount -t overlay overlay -o "lowerdir=$SCRATCH/etc:/etc" /etc 2>/dev/null || true
		mount --bind "$PKI" /etc/pki
		hostname localhost
		`+script)
	scratch := t.TempDir()
	if err := os.MkdirAll(filepath.Join(scratch, "etc/pki"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "PKI="+pki, "SCRATCH="+scratch)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func layoutFor(t *testing.T, alg Algorithm) string {
	t.Helper()
	ca := newCA(t, Authority{Name: "lab", Algorithm: alg})
	p := issue(t, ca, Host{Names: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Algorithm: alg})
	dir := t.TempDir()
	if _, err := WriteLayout(dir, LayoutLibvirt, Set{CA: ca, Server: p, Client: p}); err != nil {
		t.Fatal(err)
	}
	// The private folder is root's alone, as virt-pki-validate wants it; the temporary one on the
	// way is, too.
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLayoutAgainstVirtPKIValidate(t *testing.T) {
	needs.Program(t, "virt-pki-validate")
	for _, alg := range []Algorithm{ECDSA, RSA} {
		out := inNamespaces(t, layoutFor(t, alg), "virt-pki-validate")
		for _, want := range []string{"Found CA certificate", "Found client certificate", "Found client private key", "Found server certificate", "Found server private key"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is not in:\n%s", alg, want, out)
			}
		}
		for _, complaint := range []string{"do not match", "does not seem to match", "missing", "Missing", "server private key need", "owned by", "world readable"} {
			if strings.Contains(out, complaint) {
				t.Errorf("%s: it complains (%q):\n%s", alg, complaint, out)
			}
		}
	}
}

// TestLayoutAgainstLibvirtd starts libvirtd with these files and connects to it with virsh, over
// TLS with both sides' certificates checked, for both kinds of keys.
func TestLayoutAgainstLibvirtd(t *testing.T) {
	needs.Program(t, "libvirtd", "virsh", "ip")
	for _, alg := range []Algorithm{ECDSA, RSA} {
		t.Run(string(alg), func(t *testing.T) {
			out := inNamespaces(t, layoutFor(t, alg), `
				ip link set lo up
				for d in /run /etc/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt; do mount -t tmpfs tmpfs $d; done
				mkdir -p /run/libvirt
				printf 'listen_tls = 1\nlisten_tcp = 0\nauth_tls = "none"\nlog_outputs = "3:stderr"\n' > /run/libvirtd.conf
				libvirtd --listen --config /run/libvirtd.conf --pid-file /run/libvirtd.pid &
				n=0
				until virsh -c test+tls://localhost/default list --name 2>/run/virsh.err; do
					n=$((n+1))
					if [ $n -gt 100 ]; then cat /run/virsh.err; exit 1; fi
					sleep 0.1
				done`)
			// The test driver's one guest is called test.
			if !strings.Contains(out, "test\n") {
				t.Errorf("virsh says:\n%s", out)
			}
		})
	}
}
