package virt

import (
	"errors"
	"strings"

	"github.com/digitalocean/go-libvirt"
)

// What to do about several errors.
const (
	restartCPU     = "the destination's CPU or QEMU lacks features that the guest was started with: restart the guest with a CPU model that both hosts have (virsh hypervisor-cpu-baseline)"
	restartMachine = "the destination's QEMU does not have the guest's machine type: update QEMU there, or restart the guest with an older type that both hosts have (virsh domcapabilities)"
	detach         = "detach devices of this host before migrating, and attach the other host's afterwards (virsh detach-device)"
)

// remedies are what to do about errors that libvirt and QEMU have of migrations: the first counts
// whose code is the error's and whose words are all in its message. They speak to someone who has
// only that message, and name both sluice's and virsh's option where those differ.
var remedies = []struct {
	code  libvirt.ErrorNumber // 0: any
	words []string
	do    string
}{
	{libvirt.ErrMigrateUnsafe, []string{"cache"}, `set cache="none" for the disk, which keeps writes out of this host's page cache, or migrate with --unsafe if the storage is coherent between hosts (Ceph, GFS2)`},
	{libvirt.ErrMigrateUnsafe, nil, "libvirt sees no storage that both hosts share: copy the disks with --copy-storage-all, or migrate with --unsafe if the other host reaches the same disks at the same paths"},
	{0, []string{"requested unsafe migration"}, "migrate with --unsafe if you know that it is safe"},

	// Disks.
	{0, []string{"cannot access storage file", "no such file"}, "the disk is not at that path on that host: mount the storage there, or make a file of the same size and copy with --copy-storage-all"},
	{0, []string{"cannot access storage file", "permission denied"}, "on that host, let the user that QEMU runs as reach the file: each folder on the way needs its x bit, and network file systems must not squash root"},
	{0, []string{"could not open", "permission denied"}, "on that host, let the user that QEMU runs as open the file: owner, mode, SELinux label or AppArmor profile"},
	{0, []string{"failed to get", "lock"}, "another process has the image open for writing, perhaps the guest itself on another host: find it with lsof before anything else"},
	{0, []string{"no space left on device"}, "free space at the destination for the whole virtual size of the disks (qemu-img info), or give it larger storage"},
	{0, []string{"source and target image have different sizes"}, "the file that is at the destination has another size than the disk: make it as large there (qemu-img info), or remove it there and migrate with --create-disks"},
	{0, []string{"target volume", "smaller"}, "make the destination's disk at least as large as the source's (qemu-img info)"},
	{0, []string{"non-shared storage", "snapshots"}, "delete the guest's snapshots first (virsh snapshot-list)"},
	{0, []string{noPool}, "that host lacks the disk's file: make one of the same size and format in that folder (qemu-img info, qemu-img create), or mount the storage there"},
	{libvirt.ErrNoStoragePool, nil, "define and start a storage pool of that name on the destination (virsh pool-list --all)"},
	{libvirt.ErrNoStorageVol, nil, "the storage pool on the destination lacks that volume: make one of the same size there (virsh vol-create-as)"},

	// Networks.
	{libvirt.ErrNoNetwork, nil, "define and start a network of that name on the destination (virsh net-list --all)"},
	{0, []string{"network", "is not active"}, "start that network on the destination (virsh net-start)"},
	{0, []string{"interface", "no such device"}, "make that bridge or device on the destination, with the same name (ip link)"},
	{0, []string{"bridge", "no such device"}, "make that bridge on the destination, with the same name (ip link)"},

	// What the guest is made of.
	{libvirt.ErrCPUIncompatible, nil, restartCPU},
	{0, []string{"guest cpu doesn't match"}, restartCPU},
	{0, []string{"cpu", "host doesn't provide"}, restartCPU},
	{0, []string{"unsupported machine type"}, restartMachine},
	{0, []string{"emulated machine", "not supported"}, restartMachine},
	{0, []string{"does not support machine type"}, restartMachine},
	{0, []string{"qemu binary", "no such file"}, "install that QEMU on the destination, or name another one in <emulator> and restart the guest"},
	{0, []string{"host device"}, detach},
	{0, []string{"hostdev"}, detach},
	{0, []string{"snapshot"}, "libvirt does not migrate guests with snapshots: delete them (virsh snapshot-list, snapshot-delete --metadata keeps what is in the image)"},
	{0, []string{"checkpoint"}, "libvirt does not migrate guests with checkpoints: delete them (virsh checkpoint-list, checkpoint-delete)"},
	{0, []string{"block job"}, "wait for the disk's job to end, or end it (virsh blockjob GUEST DISK --info, --abort)"},
	{0, []string{"i/o error"}, "the guest is paused by an error of its storage: mend that, resume it (virsh resume), then migrate"},

	// The destination.
	{0, []string{"domain", "already exists with uuid"}, "the destination has another guest of that name: rename one of them (virsh domrename) or undefine what is left over there"},
	{0, []string{"domain", "is already defined with uuid"}, "the destination has this UUID under another name, perhaps a copy or an old definition: undefine it there (virsh undefine)"},
	{0, []string{"unable to map backing store"}, "the destination has too few free huge pages of that size: reserve more there (virsh freepages --all, virsh allocpages)"},
	{0, []string{"cannot allocate memory"}, "the destination has too little free memory for the guest: free some (free -m), or take huge pages into account (virsh freepages --all)"},
	{0, []string{"resolved to localhost"}, "the destination calls itself localhost: give it a host name that resolves to its address for other hosts (hostnamectl, /etc/hosts)"},
	{0, []string{"unprivileged_userfaultfd"}, "post-copy needs sysctl vm.unprivileged_userfaultfd=1 on the destination"},
	{0, []string{"postcopy", "compatible with multifd"}, "leave out one of --postcopy and --parallel, or update QEMU to 10.1 at both hosts"},
	{0, []string{"postcopy", "not supported"}, "post-copy needs sysctl vm.unprivileged_userfaultfd=1 on both hosts, and memory that QEMU can fault in page by page"},

	// The guest's state.
	{0, []string{"another job is active"}, "wait for that job to end (virsh domjobinfo), or end it (virsh domjobabort)"},
	{0, []string{"cannot acquire state change lock"}, "another call keeps the guest (virsh domjobinfo): wait for it, or end it"},
	{0, []string{"paused due to previous migration"}, "QEMU does not migrate a paused guest once more after a migration that was ended at its last moment: resume it (virsh resume), and pause it again (virsh suspend)"},
	{0, []string{"domain is not running"}, "start the guest first; what does not run has no memory to move"},
}

// remedy is what to do about an error of libvirt's; "" where that is not known.
func remedy(err error) string {
	var e libvirt.Error
	code := libvirt.ErrorNumber(0)
	if errors.As(err, &e) {
		code = libvirt.ErrorNumber(e.Code)
	}
	message := strings.ToLower(err.Error())
next:
	for _, r := range remedies {
		if r.code != 0 && r.code != code {
			continue
		}
		for _, w := range r.words {
			if !strings.Contains(message, w) {
				continue next
			}
		}
		return r.do
	}
	return ""
}
