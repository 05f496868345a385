package plan

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/domainxml"
	"github.com/virt-sluice/sluice/internal/units"
	"github.com/virt-sluice/sluice/proxy/virt"
)

// machine looks whether QEMU here can be that of the guest.
func (a *answering) machine(ctx context.Context) {
	here, n := a.Config.Name, a.needs
	if n.Emulator != "" && !a.policy.Emulator(n.Emulator) { // libvirt would run it
		a.Unknown("machine", "what %s can give the guest, since its <emulator> is not accepted there", here)
		return
	}
	has, err := a.virt.Capabilities(ctx, n)
	if err != nil {
		a.byLibvirt("machine", "machine", "looking for the guest's machine type and QEMU", err)
		return
	}
	lacks := false
	for _, w := range n.Devices {
		if has.Lacks(w) {
			lacks = true
			a.Fail("machine", "device", "have QEMU there updated or its package installed, or change the device", "QEMU on %s has no %s of %s %q", here, w.Device, w.Enum, w.Value)
		}
	}
	if n.VCPUs > has.VCPUs && has.VCPUs > 0 {
		lacks = true
		a.Fail("machine", "vcpus", "", "the guest has %d virtual CPUs, and its machine type has at most %d on %s", n.VCPUs, has.VCPUs, here)
	}
	if !lacks {
		a.OK("machine", "%s has %s with machine type %s, and the guest's devices", here, n.Emulator, n.Machine)
	}
	a.cpu(ctx)
}

func (a *answering) cpu(ctx context.Context) {
	const cpu = "CPU"
	here := a.Config.Name
	if a.ask.CPU == "" {
		a.Unknown(cpu, "whether the guest's CPU is to be had on %s, since its source does not say which it has", here)
		return
	}
	if err := domainxml.Bounded(a.ask.CPU); err != nil || !strings.HasPrefix(a.ask.CPU, "<cpu") {
		a.Unknown(cpu, "whether the guest's CPU is to be had on %s: its source describes it by what is no CPU", here)
		return
	}
	switch err := a.virt.FitsCPU(ctx, a.needs, a.ask.CPU); {
	case errors.Is(err, virt.ErrCPU):
		a.Fail(cpu, "cpu", "restart the guest with a CPU model that both hosts have (virsh hypervisor-cpu-baseline)", "%s can't give the guest the CPU that it has: %v", here, err)
	case err != nil:
		a.Unknown(cpu, "whether the guest's CPU is to be had on %s: %s", here, virt.Words("comparing it", err))
	default:
		a.OK(cpu, "%s has all of the CPU that the guest has", here)
	}
}

// userfaults is 0 where only root's processes, and those that may open /dev/userfaultfd, may handle
// the kernel's page faults (Documentation/admin-guide/sysctl/vm.rst).
const userfaults = "/proc/sys/vm/unprivileged_userfaultfd"

// postcopy looks whether QEMU here may wait for pages of the guest, which it is asked when it is
// prepared for that, whether it comes to it or not (migrate_caps_check in migration/options.c).
func (a *answering) postcopy(context.Context) {
	if a.flags&libvirt.MigratePostcopy == 0 || a.QEMUUID == 0 {
		return
	}
	if raw, err := os.ReadFile(userfaults); err == nil && strings.TrimSpace(string(raw)) == "0" {
		a.Warn("machine", "postcopy", "sysctl vm.unprivileged_userfaultfd=1 there, or leave out post-copy",
			"QEMU on %s runs as user %d, which may not handle page faults (vm.unprivileged_userfaultfd is 0): if it can't open /dev/userfaultfd, it refuses post-copy", a.Config.Name, a.QEMUUID)
	}
}

// mayBeMore is what QEMU takes besides the guest's memory, as one part of so many.
const mayBeMore = 16

func (a *answering) memory(ctx context.Context) {
	here, need := a.Config.Name, a.needs.Memory
	if a.flags&libvirt.MigrateOffline != 0 {
		return
	}
	if a.needs.Huge {
		a.hugePages(ctx)
		return
	}
	free, err := a.virt.FreeMemory(ctx)
	if err == nil {
		a.answer.Free = &free
	}
	switch {
	case err != nil:
		a.Unknown("memory", "how much memory is free on %s: %s", here, virt.Words("asking for it", err))
	case free < need:
		a.Fail("memory", "memory", "free some there, or make the guest smaller (virsh setmem)", "%s has %s of memory free, and the guest may come to need %s", here, units.Size(free), units.Size(need))
	case free < need+need/mayBeMore:
		a.Warn("memory", "memory", "free some there", "%s has %s of memory free, and the guest has %s: QEMU itself takes some besides", here, units.Size(free), units.Size(need))
	default:
		a.OK("memory", "%s has %s of memory free, the guest has %s", here, units.Size(free), units.Size(need))
	}
}

func (a *answering) hugePages(ctx context.Context) {
	here := a.Config.Name
	if len(a.needs.HugePages) != 1 || a.needs.HugePages[0] == 0 {
		a.Unknown("memory", "whether %s has enough free huge pages: the guest's description does not name one size (virsh freepages --all shows those that are free)", here)
		return
	}
	page := a.needs.HugePages[0]
	need := (a.needs.Memory + page - 1) / page
	free, err := a.virt.FreePages(ctx, page)
	if err == nil && free <= maxSize/page {
		bytes := free * page
		a.answer.Free = &bytes
	}
	switch {
	case err != nil:
		a.byLibvirt("memory", "hugepages", "asking for free huge pages of "+units.Size(page), err)
	case free < need:
		a.Fail("memory", "hugepages", "reserve more there (virsh allocpages)", "%s has %d free huge pages of %s, and the guest takes %d", here, free, units.Size(page), need)
	default:
		a.OK("memory", "%s has %d free huge pages of %s, the guest takes %d", here, free, units.Size(page), need)
	}
}
