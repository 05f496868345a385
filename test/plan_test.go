package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/proxy/control"
)

// plans plans a migration by the command line, whose exit status says whether it is possible.
func (d *daemon) plans(guest, to string, args ...string) *control.Plan {
	t := d.s.t
	t.Helper()
	ctx, cancel := context.WithTimeout(d.s.ctx, 2*time.Minute)
	defer cancel()
	c := d.host.Command(ctx, d.s.command, append([]string{"plan", guest, to, "--json"}, args...)...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	p, status := new(control.Plan), c.ProcessState.ExitCode()
	if jsonErr := json.Unmarshal(out.Bytes(), p); jsonErr != nil {
		t.Fatalf("sluice plan ends with %v and prints %q, %q: %v", err, &out, &errs, jsonErr)
	}
	if (status == 0) != p.Possible || p.Possible != (p.Errors == 0) {
		t.Errorf("status %d, possible %t, %d errors", status, p.Possible, p.Errors)
	}
	return p
}

// unhurried is patience for tests that look at what is known of a host: on a loaded machine it takes
// longer to find out than a peer may take to answer otherwise.
const unhurried = `handshake_timeout = "60s"
`

// tells checks that a finding with a result and code has these words in its text or remedy.
func tells(t *testing.T, all []control.Finding, result, code string, words ...string) {
	t.Helper()
	text := ""
	for _, f := range all {
		says := f.Text + " -> " + f.Remedy
		has := f.Result == result && f.Code == code
		for _, w := range words {
			has = has && strings.Contains(says, w)
		}
		if has {
			return
		}
		text += fmt.Sprintf("\n%s %s %s %s: %s", f.Peer, f.Result, f.Check, f.Code, says)
	}
	t.Errorf("no %s %q with the words %q; there are:%s", result, code, words, text)
}

// A plan says what keeps a guest from going, each thing of several, and that nothing does only when
// the guest then goes. It leaves nothing on either host.
func TestPlan(t *testing.T) {
	t.Parallel()
	s := newSiteFor(t, 8*time.Minute)
	a, b := s.both(conf{limits: unhurried})
	const network = "<interface type='network'><source network='blue'/><model type='virtio'/></interface>"
	blue := s.write("blue.xml", []byte("<network><name>blue</name></network>"))
	for _, h := range s.Hosts() {
		s.virsh(h, "net-define", blue)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			h.Virsh(ctx, "net-destroy", "blue") // where it is active
			if _, err := h.Virsh(ctx, "net-undefine", "blue"); err != nil {
				t.Error(err)
			}
		})
	}
	s.virsh(s.A, "net-start", "blue")
	g := s.guest(lab.GuestSpec{MemoryMiB: 128, DisksMiB: []int{8, 6}, Persistent: true, Devices: network})
	s.lacks(s.B, g.DiskPath(0), g.DiskPath(1))
	s.virsh(s.A, "suspend", g.Name) // so that nothing is sampled

	p := a.plans(g.Name, "host-b")
	if e := p.Estimate; e == nil || e.Outlook == nil || !e.Outlook.Converges {
		t.Errorf("of a guest that can't go yet there is an estimate %+v", e)
	}
	tells(t, p.Findings, control.ResultError, "unsafe", "--copy-storage-all")
	tells(t, p.Findings, control.ResultError, "missing", "vda", g.DiskPath(0), "host-b lacks it")
	tells(t, p.Findings, control.ResultError, "missing", "vdb", g.DiskPath(1))
	tells(t, p.Findings, control.ResultError, "inactive-network", "blue", "virsh net-start blue")
	s.virsh(s.B, "net-undefine", "blue")
	tells(t, a.plans(g.Name, "host-b").Findings, control.ResultError, "no-network", "host-b has no network blue")
	s.virsh(s.B, "net-define", blue)
	s.virsh(s.B, "net-start", "blue")

	p = a.plans(g.Name, "host-b", "--copy-storage-all")
	tells(t, p.Findings, control.ResultError, "missing", "add --create-disks", "qemu-img create -f raw "+g.DiskPath(0)+" 8388608")
	if p.Errors != 2 {
		t.Errorf("%d errors of two disks: %+v", p.Errors, p.Findings)
	}
	s.check(s.B.CreateDisk(g.DiskPath(1), 7))
	p = a.plans(g.Name, "host-b", "--copy-storage-all", "--create-disks")
	tells(t, p.Findings, control.ResultError, "size", "vdb", "7.00 MiB in its place, and it has 6.00 MiB")
	if d := p.Disks[1]; !d.There || d.ThereSize != 7<<20 || d.ThereFormat != "raw" || d.Size != 6<<20 || !d.Copied {
		t.Errorf("disk vdb is told as %+v", d)
	}
	s.lacks(s.B, g.DiskPath(1))

	copied := s.write("copied.xml", []byte(strings.ReplaceAll(strings.ReplaceAll(s.virsh(s.A, "dumpxml", "--inactive", g.Name), ">g<", ">h<"), "blue", "green")))
	s.virsh(s.B, "define", copied)
	tells(t, a.plans(g.Name, "host-b").Findings, control.ResultError, "same-uuid", "under another name, h", "virsh undefine h")
	s.virsh(s.B, "undefine", "h")
	namesake := s.write("namesake.xml", []byte("<domain type='qemu'><name>g</name><memory>65536</memory><os><type>hvm</type></os></domain>"))
	s.virsh(s.B, "define", namesake)
	tells(t, a.plans(g.Name, "host-b").Findings, control.ResultError, "same-name", "another guest of the name g", "--dname")
	s.virsh(s.B, "undefine", "g")

	snapshot := s.write("snapshot.xml", []byte("<domainsnapshot><name>s1</name><state>shutoff</state><creationTime>1</creationTime>"+s.virsh(s.A, "dumpxml", g.Name)+"</domainsnapshot>"))
	s.virsh(s.A, "snapshot-create", g.Name, snapshot, "--redefine")
	p = a.plans(g.Name, "host-b", "--copy-storage-all", "--create-disks")
	tells(t, p.Findings, control.ResultError, "snapshots", "1 snapshots", "virsh snapshot-list g")
	tells(t, p.Findings, control.ResultError, "libvirt", "host-a does not migrate the guest", "snapshot")
	s.virsh(s.A, "snapshot-delete", g.Name, "s1", "--metadata")

	s.virsh(s.A, "resume", g.Name)
	out, errs, status := s.run(s.A, s.command, "migrate", g.Name, "host-b", "--copy-storage-all", "--create-disks", "--dry-run")
	if status != 0 || !strings.Contains(out, "\ng can go to host-b, as far as is known: 1 of what was looked for is not known\n") || !strings.Contains(out, "\nit takes about ") {
		t.Errorf("sluice migrate --dry-run ends with status %d and prints %s%s", status, out, errs)
	}
	s.nothingLeft()
	b.nothingNoted()
	s.check(s.CheckOnlyOn(s.ctx, g, s.A))
	moved(a.migrate(g.Name, "--copy-storage-all", "--create-disks"), g, a, b)

	rom := s.A.Path("/var/lib/libvirt/images/g.rom")
	s.check(os.Rename(rom, rom+".away"))
	p = b.plans(g.Name, "host-a", "--copy-storage-all")
	tells(t, p.Findings, control.ResultError, "no-firmware", "g.rom")
	s.check(os.Rename(rom+".away", rom))
	p = b.plans(g.Name, "host-a", "--copy-storage-all")
	tells(t, p.Findings, control.ResultUnknown, "unknown", "a worker to spare", "virt-admin server-threadpool-info")
	if !p.Possible || p.Unknown > 1 {
		t.Errorf("the way back, where all is as it was: %+v", p.Findings)
	}
	e := p.Estimate
	if m := p.Memory; m == nil || m.Needed != 128<<20 || !m.Known || m.Free < m.Needed || p.Room < 90 || p.Room > 100 {
		t.Errorf("the way back has room for %d, and memory %+v", p.Room, p.Memory)
	}
	if e == nil || e.Outlook == nil || !e.Outlook.Converges || e.Outlook.Total < time.Second || e.Memory < 128<<20 || e.Memory > 128<<20 || e.Disks == 0 || e.LinkRate < 1<<20 {
		t.Errorf("the way back is estimated as %+v", e)
	}
	_, errs, status = s.run(s.A, s.command, "plan", "nobody", "host-b")
	if says(t, "stderr", errs, `there is no guest "nobody" on host-a`); status != 2 {
		t.Errorf("status %d", status)
	}
}

// A guest that changes more than gets through is said not to get there, by what was measured within
// the bounds that the migration would have, and by which means it does.
func TestPlanEstimate(t *testing.T) {
	t.Parallel()
	s := newSiteFor(t, 8*time.Minute)
	const limited = 4 // MiB/s of all sessions
	a, b := s.start(s.A, conf{limits: unhurried}), s.start(s.B, conf{limits: unhurried + fmt.Sprintf("total_bandwidth = %d\n", limited)})
	g := s.guest(lab.GuestSpec{MemoryMiB: 128, DirtyMiB: 96})
	p := a.plans(g.Name, "host-b", "--bandwidth", "4")
	e := p.Estimate
	if e == nil || e.Outlook == nil {
		t.Fatalf("there is no estimate: %+v", p.Findings)
	}
	// Whoever counts may be kept from the processor for most of the probe's second, and then be told
	// of all at once.
	if e.LinkRate < 1<<20 || e.LinkRate > 16<<20 {
		t.Errorf("4 MiB/s are measured as %d bytes per second", e.LinkRate)
	}
	if e.Outlook.Converges || e.Outlook.Remaining < 2<<20 || e.HotMemory < 16<<20 {
		t.Errorf("it is estimated as %+v, %+v", e, e.Outlook)
	}
	var means []string
	for _, m := range e.Means {
		means = append(means, m.Option)
	}
	if text := strings.Join(means, " "); !strings.Contains(text, "--allow postcopy") || !strings.Contains(text, "--allow pause") {
		t.Errorf("means: %q", means)
	}
	if p := a.plans(g.Name, "host-b", "--bandwidth", "4", "--postcopy"); p.Estimate == nil || p.Estimate.Outlook == nil || !p.Estimate.Outlook.Converges {
		t.Errorf("by post-copy: %+v", p.Estimate)
	}
	small := s.guest(lab.GuestSpec{Name: "small"})
	p = a.plans(small.Name, "host-b", "--bandwidth", "4")
	tells(t, p.Findings, control.ResultUnknown, "unknown", "how fast the guest changes its memory", "QEMU samples no memory of less than 128 MiB")
	s.virsh(s.A, "suspend", g.Name)
	a.migrate(g.Name, "--bandwidth", "4", "--timeout", "1").wait()
	const stayed = "is paused since an earlier migration began"
	tells(t, a.plans(g.Name, "host-b").Findings, control.ResultWarning, "stayed", stayed, "virsh resume g")
	s.virsh(s.A, "resume", g.Name)
	s.check(g.WaitPasses(s.ctx, s.A, 3))
	s.virsh(s.A, "suspend", g.Name)
	p = a.plans(g.Name, "host-b")
	for _, f := range p.Findings {
		if strings.Contains(f.Text, stayed) {
			t.Errorf("after the guest has run: %s", f.Text)
		}
	}
	if p.Estimate == nil || p.Estimate.Outlook == nil || !p.Estimate.Outlook.Converges || p.Estimate.HotMemory != 0 {
		t.Errorf("of the paused guest: %+v", p.Estimate)
	} else if e := p.Estimate; e.LinkRate > 8*limited<<20 {
		t.Errorf("what host-b takes of all, %d MiB/s, is measured as %d bytes per second", limited, e.LinkRate)
	}
	for _, d := range []*daemon{a, b} {
		if live := d.status().Sessions; len(live) > 0 {
			t.Errorf("%s has sessions still: %+v", d.host.Name, live)
		}
	}
	s.nothingLeft()
}
