package lab

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// A GuestSpec says what guest to start.
type GuestSpec struct {
	Name string
	// MemoryMiB is the guest's memory: 256 when 0, 3072 at most. All but the first MiB is filled
	// with data that does not compress.
	MemoryMiB int
	// DirtyMiB is how much of it each pass dirties, page by page, always the same: 4 when 0, none when
	// negative. Pre-copy converges as long as the link carries this much in the downtime that the
	// migration allows itself (300 ms by default).
	DirtyMiB int
	// SpreadKiB is how much each pass dirties of the memory behind that, going round through all of
	// it: none when 0.
	SpreadKiB int
	// BurstPasses passes dirty memory, and RestPasses do not. All do when both are 0.
	BurstPasses, RestPasses int
	// EmptyMiB of memory, its end, are zero at first. Each pass fills GrowKiB of them.
	EmptyMiB, GrowKiB int
	// PassesPerSecond bounds how often it does: 20 when 0, 500 at most. A pass over 1 GiB takes
	// software emulation some 50 ms itself.
	PassesPerSecond int
	// Beats are how many characters it prints each second besides, also within a pass: a multiple of
	// PassesPerSecond, to which it then keeps as long as a pass takes no longer; none when 0. They tell
	// how long it stood still (see [Guest.Watch]).
	Beats int
	// DisksMiB are the sizes of its disks, which start with random content. The guest neither reads
	// nor writes them.
	DisksMiB []int
	// IDE has the disks at an IDE controller. They are virtio disks otherwise, which QEMU 11.1 does
	// not take from an older one unless a driver, or firmware, has set them up.
	IDE bool
	// Paused leaves the guest paused once its memory is filled. Its migration then shows the data
	// path without the emulator's noise.
	Paused bool
	// HugePages has its memory in huge pages of 2 MiB, of which the machine must have enough free
	// (vm.nr_hugepages).
	HugePages bool
	// Machine is QEMU's machine type: "pc", the newest that the host has, when empty. A guest that
	// goes to an older QEMU needs one that both have, such as [OldMachine].
	Machine string
	// Persistent defines the guest before starting it. A transient one leaves nothing behind when
	// it ends.
	Persistent bool
	// EndsOnReset ends the guest when it resets itself (see [Guest.ResetItself]).
	EndsOnReset bool
	// NVRAM has its firmware in flash, as UEFI is, beside a flash of variables (see
	// [Guest.NVRAMPath]).
	NVRAM bool
	// UEFI has the host's OVMF for firmware, in place of what fills and checks memory, and no disk to
	// start from. The guest is paused once OVMF has written variables, and is known from then on by
	// its memory, that of the flash included (see [Guest.GoOn]).
	UEFI bool
	// Elements and Devices are XML, put beneath <domain> and <devices>.
	Elements, Devices string
}

// OldMachine is a machine type that the QEMU of Debian 12 (7.2) has, and all newer ones.
const OldMachine = "pc-i440fx-7.2"

// A Guest is a virtual machine that was started in a lab, wherever it runs now. It prints a
// character on its serial port when its memory is filled and after each pass; each host keeps in a
// file of its own what the guest printed there.
type Guest struct {
	Name string
	UUID string
	Spec GuestSpec // with the defaults filled in
	lab  *Lab

	digest []byte // of a UEFI guest's memory
}

// StartGuest starts a guest on the host and returns once its memory is filled. The files that it
// needs are put on both hosts, but for the destination's disks: see [Guest.CreateDisks].
func (h *Host) StartGuest(ctx context.Context, spec GuestSpec) (*Guest, error) {
	if err := spec.complete(); err != nil {
		return nil, fmt.Errorf("guest %q: %w", spec.Name, err)
	}
	g := &Guest{Name: spec.Name, UUID: uuid.NewString(), Spec: spec, lab: h.lab}
	for _, host := range h.lab.Hosts() {
		if err := host.writeROM(ctx, g.romPath(), spec); err != nil {
			return nil, err
		}
		if err := os.Remove(host.Path(g.serialPath())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("guest %s: %w", g.Name, err)
		}
		if err := g.writeNVRAM(host); err != nil {
			return nil, err
		}
	}
	if err := g.fillDisks(h); err != nil {
		return nil, err
	}
	description := "/run/" + g.UUID + ".xml"
	if err := os.WriteFile(h.Path(description), []byte(g.xml()), 0o644); err != nil {
		return nil, fmt.Errorf("guest %s: %w", g.Name, err)
	}
	defer os.Remove(h.Path(description))
	start := [][]string{{"create", description}}
	if spec.Persistent {
		start = [][]string{{"define", description}, {"start", g.Domain()}}
	}
	for _, args := range start {
		if _, err := h.Virsh(ctx, args...); err != nil {
			return nil, fmt.Errorf("%w%s", err, h.logTail("/var/log/libvirt/qemu/"+g.Name+".log"))
		}
	}
	if spec.UEFI {
		if err := g.waitVariables(ctx, h); err != nil {
			return nil, err
		}
		return g, g.pauseUEFI(ctx, h)
	}
	if err := g.waitFilled(ctx, h); err != nil {
		return nil, err
	}
	if spec.Paused {
		if _, err := h.Virsh(ctx, "suspend", g.Domain()); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// complete fills in the defaults and checks the limits.
func (s *GuestSpec) complete() error {
	if s.MemoryMiB == 0 {
		s.MemoryMiB = 256
	}
	if s.PassesPerSecond == 0 {
		s.PassesPerSecond = 20
	}
	if s.Machine == "" {
		s.Machine = "pc"
	}
	if s.UEFI {
		s.Paused = true
	}
	switch {
	case s.DirtyMiB < 0:
		s.DirtyMiB = 0
	case s.DirtyMiB == 0:
		s.DirtyMiB = min(4, s.MemoryMiB-1)
	}
	switch {
	case s.Name == "" || strings.ContainsAny(s.Name, "/,\n"):
		return errors.New("want a name without slash, comma and newline") // it names files, and -name's values end at a comma
	case s.MemoryMiB < 2 || s.MemoryMiB > 3072:
		return fmt.Errorf("%d MiB of memory: want 2 to 3072, which a 32-bit program reaches", s.MemoryMiB)
	case s.DirtyMiB >= s.MemoryMiB:
		return fmt.Errorf("%d MiB to dirty: want less than the %d MiB of memory", s.DirtyMiB, s.MemoryMiB)
	case s.PassesPerSecond < 10 || s.PassesPerSecond > 500:
		return fmt.Errorf("%d passes per second: want 10 to 500, which the PC's timer can do", s.PassesPerSecond)
	case s.Beats < 0 || s.Beats > 1000 || s.Beats%s.PassesPerSecond != 0 || s.Beats == s.PassesPerSecond:
		return fmt.Errorf("%d beats per second: want 1000 at the most, and 2, 3, … times the %d passes", s.Beats, s.PassesPerSecond)
	case s.EmptyMiB < 0 || s.EmptyMiB > 0 && 1+s.DirtyMiB+s.EmptyMiB >= s.MemoryMiB:
		return fmt.Errorf("%d MiB empty: want less than the %d MiB of memory, the first and %d to dirty not counted", s.EmptyMiB, s.MemoryMiB, s.DirtyMiB)
	case s.SpreadKiB < 0 || s.SpreadKiB%4 != 0 || s.SpreadKiB > 0 && s.counted() == guestBase+s.DirtyMiB<<20:
		return fmt.Errorf("%d KiB to dirty behind the %d MiB: want whole pages of 4 KiB, and memory there", s.SpreadKiB, s.DirtyMiB)
	case s.GrowKiB < 0 || s.GrowKiB%4 != 0 || (s.GrowKiB > 0) != (s.EmptyMiB > 0):
		return fmt.Errorf("%d KiB of %d MiB to fill each pass: want whole pages of 4 KiB, or both 0", s.GrowKiB, s.EmptyMiB)
	case s.BurstPasses < 0 || s.RestPasses < 0 || s.RestPasses > 0 && s.BurstPasses == 0:
		return fmt.Errorf("%d passes that dirty and %d that do not: want the first to be more than 0", s.BurstPasses, s.RestPasses)
	}
	return nil
}

// ticks is the rate of the guest's timer: without beats it sleeps two ticks after each pass.
func (s *GuestSpec) ticks() int {
	if s.Beats > 0 {
		return s.Beats
	}
	return 2 * s.PassesPerSecond
}

// filled is the address up to which memory is filled at first, counted that of the first page with
// no count.
func (s *GuestSpec) filled() int { return (s.MemoryMiB - s.EmptyMiB) << 20 }
func (s *GuestSpec) counted() int {
	if s.SpreadKiB > 0 {
		return s.filled()
	}
	return guestBase + s.DirtyMiB<<20
}

func (g *Guest) romPath() string    { return "/var/lib/libvirt/images/" + g.Name + ".rom" }
func (g *Guest) serialPath() string { return strings.Replace(SerialFiles, "*", g.Name, 1) }

// SerialFiles are the files of guests' serial ports, which a destination's sluice must be told to
// accept.
const SerialFiles = "/var/log/libvirt/qemu/*.serial"

// xml is the domain's description. The devices are few, so that QEMU starts fast and little but
// memory is migrated. The serial file is appended to, as a guest can come back.
func (g *Guest) xml() string {
	chosen, firmware, features := "", fmt.Sprintf("<loader type='rom'>%s</loader>", text(g.romPath())), ""
	if g.Spec.UEFI || g.Spec.NVRAM {
		features = "\n  <features><acpi/></features>" // which libvirt wants to see beside UEFI
	}
	switch {
	case g.Spec.UEFI:
		chosen, firmware = " firmware='efi'", "<firmware><feature enabled='no' name='secure-boot'/></firmware>"
	case g.Spec.NVRAM:
		firmware = fmt.Sprintf("<loader readonly='yes' type='pflash'>%s</loader>\n    <nvram template='%s'>%s</nvram>",
			text(g.romPath()), text(g.nvramTemplate()), text(g.NVRAMPath()))
	}
	var disks strings.Builder
	bus, dev := "virtio", "vd"
	if g.Spec.IDE {
		bus, dev = "ide", "hd"
	}
	for i := range g.Spec.DisksMiB {
		fmt.Fprintf(&disks, `
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='%s'/>
      <target dev='%s%c' bus='%s'/>
    </disk>`, text(g.DiskPath(i)), dev, 'a'+i, bus)
	}
	backing := ""
	if g.Spec.HugePages {
		backing = `
  <memoryBacking>
    <hugepages>
      <page size='2' unit='MiB'/>
    </hugepages>
    <source type='memfd'/>
  </memoryBacking>`
	}
	balloon := "<memballoon model='none'/>"
	if strings.Contains(g.Spec.Devices, "<memballoon") {
		balloon = ""
	}
	onReboot := "restart"
	if g.Spec.EndsOnReset {
		onReboot = "destroy"
	}
	return fmt.Sprintf(`<domain type='qemu'>
  <name>%s</name>
  <uuid>%s</uuid>
  <memory unit='MiB'>%d</memory>%s
  <vcpu>1</vcpu>
  <os%s>
    <type arch='x86_64' machine='%s'>hvm</type>
    %s
  </os>%s
  <on_reboot>%s</on_reboot>%s
  <devices>%s%s
    <serial type='file'>
      <source path='%s' append='on'/>
      <target port='0'/>
    </serial>
    <controller type='usb' model='none'/>
    <input type='mouse' bus='ps2'/>
    %s
  </devices>
</domain>
`, text(g.Name), g.UUID, g.Spec.MemoryMiB, backing, chosen, g.Spec.Machine, firmware, features, onReboot, g.Spec.Elements,
		disks.String(), g.Spec.Devices, text(g.serialPath()), balloon)
}

// text is s as XML has it in texts and attributes.
func text(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // of a Builder: never an error
	return b.String()
}

// Domain is what virsh is told for the guest: its name, so that another one of that name is the guest
// as well, unless virsh would take that for an id.
func (g *Guest) Domain() string {
	if _, err := strconv.Atoi(g.Name); err == nil {
		return g.UUID
	}
	return g.Name
}

// Destroy ends the guest on whichever hosts it is, and removes its definition.
func (g *Guest) Destroy(ctx context.Context) error {
	for _, command := range [][]string{{"destroy"}, {"undefine", "--nvram"}} {
		places, err := g.places(ctx)
		if err != nil {
			return err
		}
		for _, p := range places {
			// A transient guest is gone once it is destroyed, and so is one that was persistent
			// where it came from.
			if p.State == "" || command[0] == "destroy" && p.State == "shut off" {
				continue
			}
			if _, err := p.Host.Virsh(ctx, append(command, g.Domain())...); err != nil && !strings.Contains(err.Error(), "no domain with matching") { // it has gone meanwhile
				return err
			}
		}
	}
	return nil
}
