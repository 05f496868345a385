// Package packages tests the packages for Debian and Fedora as their users have them: installed on
// Debian releases that are booted, upgraded while a guest moves, and removed.
package packages

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/internal/stand"
)

var all = flag.Bool("all", false, "on Debian 12 as well")

// pack builds packages of a version for this machine's processor, and puts them into a folder as
// NAME.deb and NAME.rpm.
func pack(t *testing.T, version, folder, name string) {
	t.Helper()
	dir := t.TempDir()
	c := exec.Command("make", "-C", "../..", "package", "ARCHES=amd64", "VERSION="+version, "PACKAGES="+dir)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("make package: %v\n%s", err, out)
	}
	for _, kind := range []string{".deb", ".rpm"} {
		found, err := filepath.Glob(filepath.Join(dir, "*"+kind))
		if err != nil || len(found) != 1 {
			t.Fatalf("packages %q, %v", found, err)
		}
		if err := os.Rename(found[0], filepath.Join(folder, name+kind)); err != nil {
			t.Fatal(err)
		}
	}
}

// Two hosts of a release install a package each, the .deb and the .rpm, move a guest, upgrade while
// it moves back, and remove the package, of which nothing is left.
func TestInstalled(t *testing.T) {
	needs.Root(t, "to boot a Debian release")
	needs.Program(t, "systemd-nspawn", "make", "ip", "nsenter", "rpm")
	share := t.TempDir()
	if err := os.Chmod(share, 0o755); err != nil {
		t.Fatal(err)
	}
	pack(t, "0.0.0-1-g0", share, "old")
	pack(t, "0.0.0-2-g0", share, "new")
	for _, args := range [][]string{{"init"}, {"issue", "host-a", "host-b"}} {
		c := exec.Command("../../bin/sluice", append(append([]string{"pki"}, args...), "--dir", filepath.Join(share, "pki"))...)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("sluice pki: %v\n%s", err, out)
		}
	}
	suites := []string{"trixie"}
	if *all {
		suites = append(suites, "bookworm")
	}
	for _, suite := range suites {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			st, n := stand.New(t, ""), newNetwork(t)
			a, b := n.boot(suite, "host-a", "192.0.2.1", share), n.boot(suite, "host-b", "192.0.2.2", share)
			for _, m := range []*machine{a, b} {
				m.put("/etc/hosts", "127.0.0.1 localhost\n192.0.2.1 host-a\n192.0.2.2 host-b\n")
			}
			a.must("dpkg", "-i", "/share/old.deb")
			a.installed()
			a.must("grep", "-rq", "abstractions/libvirt-qemu.d", "/etc/apparmor.d/abstractions/libvirt-qemu", "/etc/apparmor.d/local/abstractions/libvirt-qemu")
			b.rpm("-i", filepath.Join(share, "old.rpm"))
			b.installed()
			a.put("/root/guest.xml", guest)
			a.must("virsh", "define", "/root/guest.xml")
			a.must("virsh", "start", "web1")

			// From here on it takes three commands more, the first two on both hosts.
			if out := a.must("sluice", "init", "--peer", "host-b"); !strings.HasSuffix(out, "  sudo systemctl enable --now sluice\n  sudo sluice migrate GUEST host-b\n") {
				t.Errorf("sluice init ends with\n%s", out)
			}
			b.behindFirewall("host-a")
			a.must("systemctl", "enable", "--now", "sluice")
			b.must("systemctl", "enable", "--now", "sluice")
			a.must("sluice", "migrate", "web1", "host-b", "--persistent", "--undefinesource")
			a.must("sluice", "check", "--all-peers")
			a.journal("web1")

			// Upgrades leave the migration that is under way alone.
			moves := st.Start("nsenter", b.enter("sluice", "migrate", "web1", "host-a", "--persistent", "--undefinesource", "--bandwidth", "1", "--json")...)
			moves.Await(`"phase":"memory"`)
			a.must("dpkg", "-i", "/share/new.deb")
			b.rpm("-U", filepath.Join(share, "new.rpm"))
			for _, m := range []*machine{a, b} {
				if out := m.must("sluice", "status"); !strings.Contains(out, "sluice 0.0.0-2-g0") {
					t.Errorf("%s: after the upgrade, sluice status says\n%s", m.name, out)
				}
			}
			if err := moves.Wait(); err != nil || !strings.Contains(moves.Text(), `"outcome":"moved"`) {
				t.Errorf("the migration during the upgrade: %v", err)
			}
			if out := a.must("virsh", "list", "--name"); strings.TrimSpace(out) != "web1" {
				t.Errorf("guests on host-a: %q", out)
			}
			a.must("dpkg", "-r", "sluice")
			a.removed()
			if !a.there("/etc/sluice/sluice.toml") {
				t.Error("the configuration is gone before the purge")
			}
			a.must("dpkg", "-P", "sluice")
			a.purged()
			b.rpm("-e", "sluice")
			b.removed()
			if !b.there("/etc/sluice/conf.d/init.toml") {
				t.Error("the .rpm's removal takes what sluice init has written")
			}
		})
	}
}

// guest needs nothing of its host but memory.
const guest = `<domain type='qemu'><name>web1</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices><memballoon model='none'/></devices></domain>`

// rpm runs rpm's program of this machine on the machine's file system, in which its scriptlets run.
// Debian's has to be told that it is meant, and the machine has no database of what there is.
func (m *machine) rpm(args ...string) {
	m.t.Helper()
	c := exec.CommandContext(m.ctx, "nsenter", append([]string{"-t", strconv.Itoa(m.pid), "-p", "-u", "-i", "-C", "rpm", "--root=" + m.path("/"), "--force-debian", "--nodeps"}, args...)...)
	if out, err := c.CombinedOutput(); err != nil || strings.Contains(string(out), "warning") {
		m.t.Fatalf("%s: %v: %v\n%s", m.name, c, err, out)
	}
}

// installed looks at a package that has just been installed, which starts nothing before it is
// configured, and brings this host's certificates.
func (m *machine) installed() {
	m.t.Helper()
	if out, err := m.run("systemctl", "is-active", "sluice"); err == nil || strings.TrimSpace(out) != "inactive" {
		m.t.Errorf("%s: after the installation sluice is %q", m.name, out)
	}
	m.must("sh", "-c", "sluice serve --check --config /etc/sluice/sluice.toml || test $? = 2") // without certificates
	m.must("getent", "passwd", "sluice")
	m.must("cp", "-r", "/share/pki/"+m.name+"/.", "/etc/pki/")
}

// behindFirewall sets the machine up where a packet filter lets nothing in: sluice init says which one
// and what to do, and once that is done has no more to say.
func (m *machine) behindFirewall(peer string) {
	m.t.Helper()
	filter := func(args ...string) {
		m.t.Helper()
		if out, err := exec.CommandContext(m.ctx, "nsenter", append([]string{"-t", strconv.Itoa(m.pid), "-n"}, args...)...).CombinedOutput(); err != nil {
			m.t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	filter("nft", "table inet filter { chain input { type filter hook input priority filter; policy drop; ct state established,related accept; iif lo accept; icmp type echo-request accept; }; }")
	out, err := m.run("sluice", "init", "--peer", peer)
	remedy := regexp.MustCompile(`-> sudo (nft insert rule inet filter input .* accept), `).FindStringSubmatch(out)
	if err == nil || remedy == nil || !strings.Contains(out, "connections to port 16514 from "+peer+": nftables (inet filter input) blocks them") {
		m.t.Fatalf("%s: sluice init behind a firewall: %v\n%s", m.name, err, out)
	}
	filter("sh", "-c", remedy[1])
	m.must("sluice", "init", "--peer", peer, "--force")
}

// removed looks for what is left of a package but for its configuration.
func (m *machine) removed() {
	m.t.Helper()
	for _, path := range []string{"/usr/bin/sluice", "/usr/lib/systemd/system/sluice.service", "/run/sluice/control.sock", "/run/sluice-observer.sock", "/etc/systemd/system/multi-user.target.wants/sluice.service"} {
		if m.there(path) {
			m.t.Errorf("%s: %s is there after the removal", m.name, path)
		}
	}
	if out, err := m.run("pgrep", "-a", "sluice"); err == nil {
		m.t.Errorf("%s: after the removal there runs\n%s", m.name, out)
	}
}

// purged looks for what is left of the .deb at all.
func (m *machine) purged() {
	m.t.Helper()
	if out := m.must("sh", "-c", "find / -xdev -name '*sluice*' -not -path '/proc/*' -not -path '/share/*' -not -path '/var/log/*' -not -path '/run/*' || :"); strings.TrimSpace(out) != "" {
		m.t.Errorf("%s: after the purge there is\n%s", m.name, out)
	}
	if out, err := m.run("grep", "-r", "sluice", "/etc/apparmor.d"); err == nil {
		m.t.Errorf("%s: after the purge there is\n%s", m.name, out)
	}
}

// A release of one commit is the same each time, wherever it is made, and has what it should.
func TestRelease(t *testing.T) {
	needs.Program(t, "make", "tar", "dpkg-deb", "rpm", "lintian", "sha256sum")
	first, second, copied := t.TempDir(), t.TempDir(), t.TempDir()
	output(t, "sh", "-c", `tar -C ../.. --exclude=./bin --exclude=./.git -c . | tar -C "$0" -x`, copied)
	if err := release("../..", first, "1.2.3", ":"); err == nil || !strings.Contains(err.Error(), "CHANGELOG.md has no heading '## 1.2.3'") {
		t.Errorf("a release that CHANGELOG.md does not tell of: %v", err)
	}
	for _, err := range []error{
		release("../..", first, "0.0.0-1-g0", "umask 022", "LC_ALL=C.UTF-8", "TZ=UTC"),
		release(copied, second, "0.0.0-1-g0", "umask 077", "LC_ALL=C", "TZ=Asia/Tokyo"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	files, others := names(t, first), names(t, second)
	if !slices.Equal(files, others) {
		t.Errorf("a release is\n%q\nand the second time\n%q", files, others)
	}
	const sbom = "sluice-0.0.0-1-g0-linux-amd64.cdx.json"
	want := []string{"SHA256SUMS", "sluice-0.0.0-1-g0-linux-amd64.tar.gz", "sluice-0.0.0~1_g0-1.x86_64.rpm", "sluice_0.0.0~1-g0_amd64.deb"}
	if *all {
		want = slices.Insert(want, 1, sbom)
	}
	if !slices.Equal(files, want) {
		t.Fatalf("a release is %q, want %q", files, want)
	}
	for _, name := range files {
		if !bytes.Equal(read(t, filepath.Join(first, name)), read(t, filepath.Join(second, name))) {
			t.Errorf("%s is another the second time", name)
		}
	}
	output(t, "sh", "-c", `cd "$0" && sha256sum --check --strict SHA256SUMS`, first)
	if *all {
		for _, part := range []string{`"bomFormat": "CycloneDX"`, `"name": "google.golang.org/grpc"`, `"name": "std"`} {
			if text := read(t, filepath.Join(first, sbom)); !bytes.Contains(text, []byte(part)) {
				t.Errorf("the SBOM has no %s:\n%s", part, text)
			}
		}
	}

	archive, deb, rpm := filepath.Join(first, "sluice-0.0.0-1-g0-linux-amd64.tar.gz"), filepath.Join(first, "sluice_0.0.0~1-g0_amd64.deb"), filepath.Join(first, "sluice-0.0.0~1_g0-1.x86_64.rpm")
	for path, list := range map[string]string{
		deb: output(t, "dpkg-deb", "--contents", deb),
		rpm: output(t, "rpm", "-qlp", rpm),
	} {
		own := []string{"/usr/share/zsh/site-functions/_sluice"}
		if path == deb {
			own = []string{"/usr/share/zsh/vendor-completions/_sluice", "/etc/apparmor.d/abstractions/libvirt-qemu.d/sluice", "/usr/share/sluice/apparmor/sluice"}
		}
		for _, file := range append(own,
			"/usr/bin/sluice", "/etc/sluice/sluice.toml", "/etc/sluice/conf.d", "/usr/share/man/man1/sluice-migrate.1.gz", "/usr/share/man/man5/sluice.toml.5.gz",
			"/usr/lib/systemd/system/sluice.service", "/usr/lib/systemd/system/sluice-observer.socket", "/usr/lib/systemd/system/sluice-observer@.service",
			"/usr/lib/systemd/system/sluice-intercept.service", "/usr/lib/sysusers.d/sluice.conf", "/usr/lib/sysctl.d/30-sluice.conf", "/usr/share/bash-completion/completions/sluice",
			"/usr/share/doc/sluice/prometheus/alerts.yml", "/usr/share/doc/sluice/prometheus/dashboard.json", "/usr/share/doc/sluice/third-party-licenses.txt",
			"/usr/share/doc/sluice/examples/migrate.py", "/usr/share/doc/sluice/openapi.yaml", "/usr/share/fish/vendor_completions.d/sluice.fish",
			"/usr/share/sluice/selinux/sluice.te", "/usr/share/sluice/selinux/sluice.fc", "/usr/share/doc/sluice/container/Containerfile", "/usr/share/doc/sluice/kubernetes/sluice.toml",
			"/usr/share/doc/sluice/kubernetes/kustomization.yaml", "/usr/share/doc/sluice/kubernetes/namespace.yaml", "/usr/share/doc/sluice/kubernetes/daemonset.yaml",
		) {
			if !strings.Contains(list, file) {
				t.Errorf("%s has no %s:\n%s", filepath.Base(path), file, list)
			}
		}
	}
	list := output(t, "tar", "-tzf", archive)
	for _, file := range []string{
		"bin/sluice", "systemd/sluice.service", "man/sluice-migrate.1.gz", "completion/_sluice", "completion/sluice.fish", "sluice.toml", "docs/install.md", "LICENSE", "third-party-licenses.txt",
		"docs/examples/migrate.py", "docs/openapi.yaml", "apparmor/daemon", "apparmor/libvirt-qemu", "selinux/sluice.te", "selinux/sluice.fc", "docs/container/Containerfile",
		"docs/kubernetes/kustomization.yaml", "docs/kubernetes/namespace.yaml", "docs/kubernetes/daemonset.yaml", "docs/kubernetes/sluice.toml",
	} {
		if !strings.Contains(list, "sluice-0.0.0-1-g0-linux-amd64/"+file+"\n") {
			t.Errorf("the archive has no %s:\n%s", file, list)
		}
	}
	if extra := regexp.MustCompile(`.*(?:_test\.go|/go\.(?:mod|sum))\n`).FindString(list); extra != "" {
		t.Errorf("the archive has %s", extra)
	}
	unpacked := t.TempDir()
	output(t, "tar", "-C", unpacked, "-xzf", archive)
	if out := output(t, filepath.Join(unpacked, "sluice-0.0.0-1-g0-linux-amd64/bin/sluice"), "version", "--verbose"); !regexp.MustCompile(`^sluice 0\.0\.0-1-g0 go1\.\S+ linux/amd64\ncommit: 0123456789ab\nAES-GCM: .+\nkernel TLS: .+\n$`).MatchString(out) {
		t.Errorf("sluice version --verbose says\n%s", out)
	}
	sizes(t, filepath.Join(unpacked, "sluice-0.0.0-1-g0-linux-amd64/bin/sluice"), archive, deb, rpm)

	output(t, "lintian", "--fail-on", "error", deb)
	output(t, "rpm", "--checksig", "--nosignature", rpm)
	for _, scriptlet := range []string{"postin", "preun", "postun"} {
		text := output(t, "rpm", "-qp", "--qf", "%{"+scriptlet+"}", rpm)
		c := exec.Command("sh", "-n")
		c.Stdin = strings.NewReader(text)
		if out, err := c.CombinedOutput(); err != nil || !strings.Contains(text, "systemctl") {
			t.Errorf("%s of the rpm: %v\n%s\n%s", scriptlet, err, out, text)
		}
	}
	if text := output(t, "rpm", "-qp", "--qf", "%{VERSION} %{LICENSE} %{ARCH}", rpm); text != "0.0.0~1_g0 Apache-2.0 x86_64" {
		t.Errorf("the rpm is %q", text)
	}
	if config := output(t, "rpm", "-qcp", rpm); strings.TrimSpace(config) != "/etc/sluice/sluice.toml" {
		t.Errorf("configuration of the rpm: %q", config)
	}
}

// release makes one of this machine's processor in a folder that has the source, after a shell's
// command, and with variables of its environment.
func release(source, dir, version, command string, environ ...string) error {
	args := []string{"RELEASE=" + dir, "ARCHES=amd64", "VERSION=" + version, "COMMIT=0123456789ab"}
	if !*all {
		args = append(args, "SBOM=no")
	}
	c := exec.Command("sh", append([]string{"-c", command + ` && exec make -C "$@" release`, "sh", source}, args...)...)
	c.Env = append(append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000"), environ...)
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("make release: %w\n%s", err, out)
	}
	return nil
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The profile and the policy that the packages bring are what their compilers take.
func TestConfinement(t *testing.T) {
	needs.Program(t, "apparmor_parser", "make")
	const devel = "/usr/share/selinux/devel/Makefile"
	needs.File(t, devel, "selinux-policy-dev")
	output(t, "apparmor_parser", "--skip-kernel-load", "--skip-cache", "../../internal/packaging/apparmor/daemon")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../internal/packaging/selinux")); err != nil {
		t.Fatal(err)
	}
	output(t, "make", "-C", dir, "-f", devel, "sluice.pp")
}

func output(t *testing.T, command string, args ...string) string {
	t.Helper()
	out, err := exec.Command(command, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", command, args, err, out)
	}
	return string(out)
}
