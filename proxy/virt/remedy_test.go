package virt

import (
	"errors"
	"strings"
	"testing"

	"github.com/digitalocean/go-libvirt"
)

// Errors in the words of libvirt 9 and QEMU 7.2, for those that no test of whole hosts has.
func TestRemedies(t *testing.T) {
	for _, c := range []struct {
		code      libvirt.ErrorNumber
		says, has string
	}{
		{libvirt.ErrMigrateUnsafe, "Unsafe migration: Migration may lead to data corruption if disks use cache other than none or directsync", `cache="none"`},
		{libvirt.ErrMigrateUnsafe, "Unsafe migration: Migration without shared storage is unsafe", "--copy-storage-all"},
		{libvirt.ErrMigrateUnsafe, "Unsichere Migration: Festplatten", "--copy-storage-all"}, // of a libvirtd in another language
		{libvirt.ErrNoNetwork, "Netzwerk nicht gefunden", "virsh net-list"},
		{libvirt.ErrOperationInvalid, "Requested operation is not valid: network 'default' is not active", "virsh net-start"},
		{libvirt.ErrCPUIncompatible, "the CPU is incompatible with host CPU: Host CPU does not provide required features: avx512f", "CPU model that both"},
		{libvirt.ErrOperationFailed, "operation failed: guest CPU doesn't match specification: missing features: pcid", "CPU model that both"},
		{libvirt.ErrConfigUnsupported, "unsupported configuration: Emulator '/usr/bin/qemu-system-x86_64' does not support machine type 'pc-i440fx-9.0'", "machine type"},
		{libvirt.ErrInternalError, "internal error: process exited while connecting to monitor: qemu-system-x86_64: unsupported machine type\nUse -machine help to list supported machines", "machine type"},
		{libvirt.ErrOperationUnsupported, "Operation not supported: cannot migrate a domain with <hostdev mode='subsystem' type='pci'>", "virsh detach-device"},
		{libvirt.ErrOperationInvalid, "Requested operation is not valid: domain has assigned non-USB host devices", "virsh detach-device"},
		{libvirt.ErrInternalError, "internal error: qemu unexpectedly closed the monitor: qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory", "free memory"},
		{libvirt.ErrInternalError, "internal error: qemu-system-x86_64: unable to map backing store for guest RAM: Cannot allocate memory", "huge pages"},
		{libvirt.ErrInternalError, "internal error: hostname on destination resolved to localhost, but migration requires an FQDN", "hostnamectl"},
		{libvirt.ErrOperationFailed, "operation failed: domain 'copy' is already defined with uuid 340a315b-375b-4f8b-9a75-1bad7e86a118", "virsh undefine"},
		{libvirt.ErrInternalError, `internal error: qemu-system-x86_64: Failed to get "write" lock\nIs another process using the image [/srv/a.qcow2]?`, "lsof"},
		{libvirt.ErrInternalError, "internal error: unable to execute QEMU command 'migrate-set-capabilities': Postcopy is not yet compatible with multifd", "--parallel"},
		{libvirt.ErrInternalError, "internal error: unable to execute QEMU command 'migrate': Can't migrate the vm that was paused due to previous migration", "virsh suspend"},
		{libvirt.ErrNoStoragePool, "Storage pool not found: no storage pool with matching name 'fast'", "virsh pool-list"},
		{libvirt.ErrOperationTimeout, "Timed out during operation: cannot acquire state change lock (held by monitor=remoteDispatchDomainMigratePerform3Params)", "virsh domjobinfo"},
	} {
		err := libvirt.Error{Code: uint32(c.code), Message: c.says}
		if got := Words("preparing the guest", err); !strings.HasPrefix(got, "libvirt, preparing the guest: "+c.says+"; ") || !strings.Contains(got[len(c.says):], c.has) {
			t.Errorf("%q\nlacks %q", got, c.has)
		}
	}
	if got := Words("preparing the guest", errors.New("the sky falls\n")); got != "libvirt, preparing the guest: the sky falls" {
		t.Errorf("%q", got)
	}
}
