package programs

import (
	"os"
	"path/filepath"

	"github.com/virt-sluice/sluice/internal/lab"
)

// libvirtCalls are the cases of programs that Debian has no package of, or none that runs without
// all of its others: their calls by libvirt's bindings, or by virsh. The flags are those of
// OpenNebula's opennebula_vm.rb, vdsm's migration.py, CloudStack's MigrateKVMAsync.java,
// cockpit-machines' domain.js and ZStack's vm_plugin.py. ZStack says qemu+tcp:// and knows no other.
var libvirtCalls = []testCase{
	{program: "OpenNebula", pkg: virsh, settings: "`QEMU_PROTOCOL=qemu+tls`", move: func(s *stage) {
		s.runs(s.Lab.A, nil, "virsh", "--connect", "qemu:///system", "migrate", "--live", s.guest.Name, "qemu+tls://host-b/system")
	}},
	{program: "OpenNebula", pkg: virsh, settings: "`qemu+tls`, local disks", guest: lab.GuestSpec{DisksMiB: []int{8}}, move: func(s *stage) {
		s.runs(s.Lab.A, nil, "virsh", "--connect", "qemu:///system", "migrate", "--live", "--suspend", s.guest.Name, "qemu+tls://host-b/system", "--copy-storage-all", "--migrate-disks", "vda")
		s.runs(s.Lab.A, nil, "virsh", "--connect", "qemu+tls://host-b/system", "list")
		_, err := s.Lab.B.Virsh(s.ctx, "resume", s.guest.Name)
		s.check(err)
	}},
	calls("oVirt, vdsm", "`ssl=true`, as it is", lab.GuestSpec{}, "migrateToURI3", "LIVE,PEER2PEER,ABORT_ON_ERROR,AUTO_CONVERGE,PERSIST_DEST", "bandwidth=52", "migrate_uri=tcp://host-b"),
	calls("oVirt, vdsm", "`ssl=true`, a migration network", lab.GuestSpec{}, "migrateToURI3", "LIVE,PEER2PEER,ABORT_ON_ERROR,AUTO_CONVERGE,PERSIST_DEST", "bandwidth=52", "migrate_uri=tcp://192.0.2.2"),
	calls("CloudStack", "agent as it is", lab.GuestSpec{}, "migrate3", "LIVE,COMPRESSED", "destination_name=g", "destination_xml=dest", "migrate_uri=tcp:192.0.2.2", "bandwidth=0"),
	calls("CloudStack", "agent, local disks", lab.GuestSpec{DisksMiB: []int{8}}, "migrate3", "LIVE,COMPRESSED,AUTO_CONVERGE,NON_SHARED_DISK", "destination_name=g", "destination_xml=dest", "migrate_uri=tcp:192.0.2.2", "bandwidth=0", "migrate_disks=vda"),
	calls("Cockpit", "`qemu+tls://`, as it is", lab.GuestSpec{Persistent: true}, "migrateToURI3", "LIVE,PEER2PEER,PERSIST_DEST,UNDEFINE_SOURCE"),
	calls("Cockpit", "`qemu+tls://`, temporary, with disks", lab.GuestSpec{Persistent: true, DisksMiB: []int{8}}, "migrateToURI3", "LIVE,PEER2PEER,NON_SHARED_DISK"),
	zstack("kvmagent as it is", lab.GuestSpec{}, "migrateToURI2", "LIVE,PEER2PEER,UNDEFINE_SOURCE,AUTO_CONVERGE", "migrate_uri=tcp://192.0.2.2"),
	zstack("kvmagent, local disks", lab.GuestSpec{DisksMiB: []int{8}}, "migrateToURI3", "LIVE,PEER2PEER,UNDEFINE_SOURCE,NON_SHARED_DISK,PERSIST_DEST", "migrate_disks=vda", "migrate_uri=tcp://192.0.2.2", "destination_xml=dest"),
	intercepted(testCase{program: "ZStack", pkg: virsh, settings: "kvmagent's block migration", guest: lab.GuestSpec{DisksMiB: []int{8}}, move: func(s *stage) {
		xml, err := s.Lab.A.Virsh(s.ctx, "dumpxml", "--migratable", s.guest.Name)
		s.check(err)
		const file = "/etc/libvirt/zstack.xml"
		s.check(os.WriteFile(s.Lab.A.Path(file), []byte(xml), 0o644))
		s.runs(s.Lab.A, nil, "virsh", "migrate", "--live", "--p2p", "--copy-storage-all", "--persistent", "--migrate-disks", "vda", "--xml", file, s.uuid, zstackURI, "tcp://192.0.2.2")
	}}),
}

// virsh is the package of libvirt's own client.
const virsh = "libvirt-clients"

const zstackURI = "qemu+tcp://192.0.2.2/system"

func zstack(settings string, guest lab.GuestSpec, call, flags string, params ...string) testCase {
	return intercepted(callsTo(zstackURI, "ZStack", settings, guest, call, flags, params...))
}

func calls(program, settings string, guest lab.GuestSpec, call, flags string, params ...string) testCase {
	return callsTo("qemu+tls://host-b/system", program, settings, guest, call, flags, params...)
}

func callsTo(uri, program, settings string, guest lab.GuestSpec, call, flags string, params ...string) testCase {
	return testCase{program: program, pkg: "python3-libvirt", settings: settings, guest: guest, move: func(s *stage) {
		script, err := filepath.Abs("libvirt_calls.py")
		s.check(err)
		s.runs(s.Lab.A, nil, "/usr/bin/python3", append([]string{script, s.guest.Name, call, uri, flags}, params...)...)
	}}
}
