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
)

// bochs is the folder of Debian 13's Bochs, of a boot loader, and of all that they
// need, down to libc: they are run by their own loader on any Debian.
//
// Bochs and no other, since QEMU's emulation has VAES, but VPCLMULQDQ on 128 bits
// alone and nothing of AVX-512 (tried: 7.2, 10.0 and 11.1). Debian 12's Bochs 2.7
// has both, on models with which Linux finds its XSAVE at fault.
type bochs string

// emulators is the folder in the user's cache that it is fetched into.
func emulators(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(cache, "sluice", "emulators")
}

// haveBochs reports whether it is there, or can be fetched.
func haveBochs(t *testing.T) bool {
	_, there := os.Stat(filepath.Join(emulators(t), "bochs"))
	_, apt := exec.LookPath("apt-get")
	return there == nil || apt == nil
}

// fetchBochs returns it, fetched if it is not there yet.
func fetchBochs(t *testing.T) bochs {
	t.Helper()
	fetching.Lock()
	defer fetching.Unlock()
	cache := emulators(t)
	root := filepath.Join(cache, "bochs")
	if _, err := os.Stat(root); err == nil {
		return bochs(root)
	}
	d := newDebian(t, cache, "trixie")
	installed := filepath.Join(cache, ".apt", "installed")
	if err := os.WriteFile(installed, nil, 0o644); err != nil { // so that nothing counts as there
		t.Fatal(err)
	}
	d.options = append(d.options, "-o", "Dir::State::status="+installed)
	d.apt(t, "apt-get", "update")
	plan := d.apt(t, "apt-get", "-s", "install", "--no-install-recommends", "bochs", "bochs-term", "bochsbios", "vgabios", "isolinux", "syslinux-common", "xorriso")
	var names []string
	for line := range strings.Lines(plan) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Inst" {
			names = append(names, f[1])
		}
	}
	d.apt(t, "apt-get", append([]string{"download"}, names...)...)
	part := filepath.Join(cache, ".bochs")
	debs, _ := filepath.Glob(filepath.Join(cache, "*.deb"))
	for _, deb := range debs {
		command(t, cache, "dpkg-deb", "-x", deb, part)
		os.Remove(deb)
	}
	if err := os.Rename(part, root); err != nil {
		t.Fatal(err)
	}
	return bochs(root)
}

// command makes one of a program in /usr/bin there.
func (b bochs) command(t *testing.T, program string, args ...string) *exec.Cmd {
	lib := filepath.Join(string(b), "usr/lib/x86_64-linux-gnu")
	args = append([]string{"--library-path", lib, filepath.Join(string(b), "usr/bin", program)}, args...)
	cmd := exec.CommandContext(t.Context(), filepath.Join(lib, "ld-linux-x86-64.so.2"), args...)
	cmd.Env = append(os.Environ(), "TERM=xterm", "LTDL_LIBRARY_PATH="+filepath.Join(lib, "bochs/plugins"), "BXSHARE="+filepath.Join(string(b), "usr/share/bochs"))
	return cmd
}

// settings are Bochs's. Its own screen is a terminal that nobody looks at: the
// other ways to show it want a desktop, or listen on the network.
const settings = `plugin_ctrl: unmapped=1, biosdev=1, speaker=0, extfpuirq=1, parallel=0, serial=1, iodebug=0
config_interface: textconfig
display_library: term
memory: host=512, guest=512
romimage: file=%[1]s/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=%[1]s/usr/share/bochs/VGABIOS-lgpl-latest
boot: cdrom
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=%[2]s/boot.iso, status=inserted
cpu: model=%[3]s, count=1, ips=200000000, reset_on_triple_fault=0, ignore_bad_msrs=1
clock: sync=none, time0=1
com1: enabled=1, mode=file, dev=%[2]s/console
log: %[2]s/log
panic: action=fatal
`

// boot runs the programs in a guest with a processor of Bochs's, and returns what
// its console says. It fails the test unless all of them went well.
func (b bochs) boot(t *testing.T, k kernel, model, init string, programs []program) string {
	t.Helper()
	dir := t.TempDir()
	for path, data := range map[string][]byte{
		"disc/linux":                 read(t, image(t, k.unpacked(t))),
		"disc/isolinux/isolinux.bin": read(t, filepath.Join(string(b), "usr/lib/ISOLINUX/isolinux.bin")),
		"disc/isolinux/ldlinux.c32":  read(t, filepath.Join(string(b), "usr/lib/syslinux/modules/bios/ldlinux.c32")),
		"disc/isolinux/isolinux.cfg": []byte("default linux\nlabel linux\n kernel /linux\n append initrd=/initramfs console=ttyS0 quiet panic=-1 mitigations=off nokaslr nopti nopku no_timer_check lpj=1000000 tsc=reliable nosmp noapic\n"),
		"settings":                   fmt.Appendf(nil, settings, string(b), dir, model),
		"go":                         []byte("c\n"), // Debian's Bochs waits in its debugger
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	writeInitramfs(t, filepath.Join(dir, "disc/initramfs"), init, programs, nil)
	iso := b.command(t, "xorriso", "-as", "mkisofs", "-quiet", "-o", filepath.Join(dir, "boot.iso"), "-b", "isolinux/isolinux.bin",
		"-c", "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", filepath.Join(dir, "disc"))
	if text, err := iso.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", iso, err, text)
	}
	cmd := b.command(t, "bochs-bin", "-q", "-f", filepath.Join(dir, "settings"), "-rc", filepath.Join(dir, "go"))
	var screen bytes.Buffer
	cmd.Stdout, cmd.Stderr = &screen, &screen
	began := time.Now()
	err := cmd.Run() // an error, too, where the guest has switched itself off
	console, _ := os.ReadFile(filepath.Join(dir, "console"))
	text := strings.ReplaceAll(string(console), "\r\n", "\n")
	if !strings.Contains(text, "guest: passed\n") {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		t.Fatalf("%v: %v\n%s\n%s", cmd, err, text, log[max(0, len(log)-2000):])
	}
	t.Logf("guest with %s: %.0f s", model, time.Since(began).Seconds())
	return text
}
