package versions

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/internal/roots"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/transfer"
)

// TestLists holds sluice's lists of what libvirt has against what each release's libvirt has.
func TestLists(t *testing.T) {
	if *only != "" {
		t.Skip("only without -case")
	}
	lab.Require(t)
	p, err := sluice.Programs()
	if err != nil {
		t.Fatal(err)
	}
	t.Parallel()
	of := []*release{debian12, debian13}
	if *all {
		of = append(of, debianTesting)
	}
	for _, r := range of {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute) // builds roots
			defer cancel()
			dir := "/"
			if r.suite != "" {
				root, err := roots.Open(ctx, r.suite)
				if err != nil {
					t.Fatal(err)
				}
				defer root.Close()
				dir = root.Dir
			}
			testProcedures(t, dir)
			testParameters(t, dir)
			testOptions(ctx, t, dir, p.Command)
		})
	}
}

// Of the remote program, in what libvirt generates from remote_protocol.x for SystemTap.
var (
	remoteRule    = regexp.MustCompile(`(?s)program == 536903814 && version == 1\) \{(.*?)(?:else if \(program ==|return procstr)`)
	procedureRule = regexp.MustCompile(`proc == (\d+)\) \{\s*procstr = "(\w+)"`)
)

// testProcedures: those that are passed and refused have the numbers that they have in sluice, and
// each other has its name.
func testProcedures(t *testing.T, root string) {
	const file = "/usr/share/systemtap/tapset/libvirt_functions.stp"
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	remote := remoteRule.FindSubmatch(text)
	if remote == nil {
		t.Fatalf("%s has no part for the remote program", file)
	}
	named := make(map[libvirtrpc.Procedure]string)
	for _, m := range procedureRule.FindAllSubmatch(remote[1], -1) {
		n, err := strconv.ParseUint(string(m[1]), 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		named[libvirtrpc.Procedure(n)] = strings.ToUpper(string(m[2]))
	}
	if len(named) < 440 {
		t.Fatalf("only %d procedures are found in %s", len(named), file)
	}
	for n, name := range named {
		if n.String() != fmt.Sprintf("%s (procedure %d)", name, n) {
			t.Errorf("procedure %d is %s, which messages call %q: read what it does in remote_protocol.x, and name it", n, name, n)
		}
	}
	for _, table := range []map[libvirtrpc.Procedure]string{libvirtrpc.Migrate, libvirtrpc.Refused} {
		for n, name := range table {
			if named[n] != name {
				t.Errorf("procedure %d is %q, and %q to sluice", n, named[n], name)
			}
		}
	}
	// What only the next libvirt has is denied as well to who may only migrate, by its number.
	next := libvirtrpc.Procedure(len(named) + 100)
	refusal := libvirtrpc.Allowed(libvirtrpc.Head{Program: libvirtrpc.ProgramRemote, Procedure: next})
	if refusal == nil || !strings.Contains(refusal.Message, fmt.Sprintf("procedure %d", next)) {
		t.Errorf("procedure %d: %v", next, refusal)
	}
}

// otherParameters are those of migrations that no option of `sluice migrate` has a number or names
// for: set or read by sluice itself, or passed as they are.
var otherParameters = []string{
	libvirtrpc.ParamURI, libvirtrpc.ParamDestName, libvirtrpc.ParamDestXML, libvirtrpc.ParamPersistXML,
	libvirtrpc.ParamBandwidth, libvirtrpc.ParamListen, libvirtrpc.ParamDisksPort, libvirtrpc.ParamDisksURI,
	libvirt.MigrateParamGraphicsURI, libvirt.MigrateParamParallelConnections, libvirt.MigrateParamTLSDestination,
}

// savedChannels looks like a parameter of migrations, and is one of virDomainSaveParams.
const savedChannels = "parallel.channels"

var parameterRule = regexp.MustCompile(`^(migrate_uri|graphics_uri|listen_address|(migrate_disks|disks_|destination_|persistent_xml|auto_converge\.|bandwidth\.|compression\.|parallel\.|tls\.)[a-z_.]*)$`)

// testParameters: libvirt's QEMU driver has no parameter that sluice has not.
func testParameters(t *testing.T, root string) {
	driver, err := os.ReadFile(filepath.Join(root, "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so"))
	if err != nil {
		t.Fatal(err)
	}
	known := append([]string{savedChannels}, otherParameters...)
	for _, o := range control.Options {
		known = append(known, o.Field)
	}
	found := 0
	for text := range bytes.SplitSeq(driver, []byte{0}) {
		if len(text) > 64 || !parameterRule.Match(text) {
			continue
		}
		found++
		if !slices.Contains(known, string(text)) {
			t.Errorf("libvirt takes %q: add it to control.Options, or to the list here if it is harmless, or refuse it", text)
		}
	}
	if found < 16 {
		t.Errorf("only %d parameters are found", found)
	}
}

// otherFlags are those of migrations that no option of virsh sets: the client's library sets it by
// itself, to have libvirt at the source refuse other changes meanwhile.
const otherFlags = libvirt.MigrateChangeProtection

var unknownFlags = regexp.MustCompile(`unsupported flags \(0x([0-9a-f]+)\) in function qemuDomainMigrateBegin3Params`)

// testFlags: libvirt's QEMU driver on a host, which says itself what it does not know, takes no flag
// of migrations that sluice has not.
func testFlags(t *testing.T, h *lab.Host) {
	l := libvirt.NewWithDialer(dialers.NewLocal(dialers.WithSocket(h.Path("/run/libvirt/libvirt-sock"))))
	if err := l.Connect(); err != nil {
		t.Fatal(err)
	}
	defer l.Disconnect()
	// It looks at the flags before it looks for the guest.
	_, _, err := l.DomainMigrateBegin3Params(libvirt.Domain{Name: "none", ID: -1}, nil, math.MaxUint32)
	if err == nil {
		t.Fatal("libvirt takes every flag")
	}
	said := unknownFlags.FindStringSubmatch(err.Error())
	if said == nil {
		t.Fatal(err)
	}
	unknown, err := strconv.ParseUint(said[1], 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	if unknown == math.MaxUint32 {
		t.Fatal("libvirt takes no flag")
	}
	for bit := range 32 {
		flag := libvirt.DomainMigrateFlags(1) << bit
		if uint32(unknown)&uint32(flag) == 0 && flag != otherFlags && transfer.Flags(flag) == nil {
			t.Errorf("libvirt takes the flag 1 << %d: add it to those of virsh's options in package transfer, and see what else it changes", bit)
		}
	}
}

// testOptions: each option of `virsh migrate` is one of `sluice migrate`, or answered in words; and
// the oldest libvirt that is said to know it does.
func testOptions(ctx context.Context, t *testing.T, root, program string) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	virsh := func(args ...string) string {
		t.Helper()
		c := exec.CommandContext(ctx, "/usr/bin/virsh", args...)
		c.Dir, c.SysProcAttr = "/", &syscall.SysProcAttr{Chroot: root}
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("virsh %q: %v: %s", args, err, out)
		}
		return string(out)
	}
	help, err := exec.CommandContext(ctx, program, "help", "migrate").Output()
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := options(string(help)), options(virsh("help", "migrate"))
	if len(theirs) < 40 {
		t.Fatalf("only %d options of virsh are found: %q", len(theirs), theirs)
	}
	for _, name := range theirs {
		if slices.Contains(ours, name) {
			continue
		}
		out, err := exec.CommandContext(ctx, program, "migrate", "g", lab.HostB, "--"+name).CombinedOutput()
		if err == nil || strings.Contains(string(out), "unknown flag") || !strings.Contains(string(out), "--"+name+": ") {
			t.Errorf("virsh migrate has --%s, to which sluice migrate says (%v)\n%s", name, err, out)
		}
	}
	var major, minor, micro uint64
	if _, err := fmt.Sscanf(virsh("--version"), "%d.%d.%d", &major, &minor, &micro); err != nil {
		t.Fatal(err)
	}
	is := major*1_000_000 + minor*1_000 + micro
	for _, o := range control.Options {
		if !slices.Contains(ours, o.Name) {
			t.Errorf("--%s is no option of sluice migrate", o.Name)
		}
		if has := slices.Contains(theirs, o.Name); has != (o.Since <= is) {
			t.Errorf("libvirt %d has --%s: %v, and is to have it from %d on", is, o.Name, has, o.Since)
		}
	}
}

var optionRule = regexp.MustCompile(`(?m)^ +(?:-\w, )?(?:\[--)?--([a-z0-9-]+)`)

// options are those that a help has a line for.
func options(help string) (names []string) {
	for _, m := range optionRule.FindAllStringSubmatch(help, -1) {
		names = append(names, m[1])
	}
	return names
}
