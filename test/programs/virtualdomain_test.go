package programs

import (
	"os"

	"github.com/virt-sluice/sluice/internal/lab"
)

// virtualDomain are the cases of Pacemaker's resource agent for guests.
var virtualDomain = []testCase{
	pacemaker("`migration_transport=tls`", lab.GuestSpec{}, tls),
	pacemaker("`tls`, `migration_network_suffix`", lab.GuestSpec{}, tls, "migration_network_suffix="+migrationNetwork),
	pacemaker("`tls`, `migrateuri=tcp://%n:49200`", lab.GuestSpec{}, tls, "migrateuri=tcp://%n:49200"),
	pacemaker("`tls`, `--p2p --copy-storage-all`", lab.GuestSpec{DisksMiB: []int{8}}, tls, "migrate_options=--p2p --copy-storage-all"),
	pacemaker("`tls`, `save_config_on_stop`, `migration_speed`", lab.GuestSpec{}, tls, "save_config_on_stop=true", "migration_speed=200"),
	pacemaker("`remoteuri` of the peer's socket", lab.GuestSpec{}, "remoteuri=qemu+unix:///system?socket=/run/sluice/peers/%n/libvirt.sock", "migration_network_suffix="+migrationNetwork),
}

const tls = "migration_transport=tls"

func pacemaker(settings string, guest lab.GuestSpec, parameters ...string) testCase {
	return testCase{program: "Pacemaker, VirtualDomain", pkg: "resource-agents", settings: settings, guest: guest, move: func(s *stage) { s.migrates(parameters) }}
}

// migrates has the cluster's two calls made, on each host its own.
func (s *stage) migrates(parameters []string) {
	s.t.Helper()
	const config, agent = "/etc/libvirt/g.xml", "/usr/lib/ocf/resource.d/heartbeat/VirtualDomain"
	xml, err := s.Lab.A.Virsh(s.ctx, "dumpxml", "--migratable", s.guest.Name)
	s.check(err)
	env := []string{"OCF_ROOT=/usr/lib/ocf", "OCF_RESOURCE_INSTANCE=" + s.guest.Name, "OCF_RESOURCE_TYPE=VirtualDomain", "OCF_RESKEY_hypervisor=qemu:///system", "OCF_RESKEY_config=" + config,
		"OCF_RESKEY_CRM_meta_migrate_source=" + lab.HostA, "OCF_RESKEY_CRM_meta_migrate_target=" + lab.HostB}
	for _, p := range parameters {
		env = append(env, "OCF_RESKEY_"+p)
	}
	for _, h := range s.Hosts() {
		s.check(os.WriteFile(h.Path(config), []byte(xml), 0o644))
		s.check(os.MkdirAll(h.Path("/run/resource-agents"), 0o755))
	}
	s.runs(s.Lab.A, env, agent, "monitor")
	s.runs(s.Lab.A, env, agent, "migrate_to")
	s.runs(s.Lab.B, env, agent, "migrate_from")
}
