package faults

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/pki"
)

// A way is who runs libvirt's steps, and how they and the data go.
type way struct {
	name string
	peer string // TOML of the other host's table, in both configurations
	// command is what the caller runs on host-a.
	command func(s *stage) ([]string, error)
	// steered: sluice sees libvirt's calls, and fences the guest at its source.
	steered bool
	// alone: libvirt's own Finish goes past the sluice of the source, so that only libvirt's safety
	// holds there (docs/failures.md, "Stock clients"; docs/interception.md).
	alone bool
	kinds []string // that it can do; nil: all
	// remote: the caller's connection is with host-b's sluice.
	remote bool
	// tunnel: libvirtd itself carries the data, so that it can't be held at its Finish.
	tunnel bool
	// connections that lead to host-b's sluice when memory flows, in the order in which they are
	// made; one for each disk and then those of memory follow.
	connections []string
}

var ways = []*way{
	{name: "sluice", command: sluiceMigrate, connections: []string{"control"}},
	{name: "p2p", steered: true, connections: []string{"control-of-libvirt", "libvirt", "control"},
		command: func(s *stage) ([]string, error) { return virshMigrate(s, peerURI, "--p2p"), nil }},
	managed,
	// Both hosts' libvirt is reached through their sluices, over TLS.
	{name: "tls", steered: true, remote: true, peer: operators, command: func(s *stage) ([]string, error) {
		a, errA := s.tlsURI("operator", lab.HostA)
		b, errB := s.tlsURI("operator", lab.HostB)
		args := virshMigrate(s, b)
		return append([]string{"virsh", "-q", "-c", a}, args[4:]...), errors.Join(errA, errB)
	}},
	// libvirtd comes to host-b's sluice over TLS with its host's own certificate.
	{name: "led", steered: true, remote: true, command: func(s *stage) ([]string, error) {
		b, err := s.tlsURI(lab.HostA, lab.HostB)
		return virshMigrate(s, b, "--p2p"), err
	}},
	// libvirtd brings the guest to a sluice over TLS by itself, in libvirt's own tunnel.
	{name: "tunnelled", alone: true, tunnel: true, peer: operators, kinds: []string{"memory"}, command: func(s *stage) ([]string, error) {
		b, err := s.tlsURI("operator", lab.HostB)
		return virshMigrate(s, b, "--p2p", "--tunnelled"), err
	}},
	interception,
}

var managed = &way{name: "managed", steered: true, connections: []string{"control-of-libvirt", "libvirt", "control"},
	command: func(s *stage) ([]string, error) { return virshMigrate(s, peerURI), nil }}

var interception = &way{name: "intercept", alone: true, peer: "[intercept]\n", command: func(s *stage) ([]string, error) {
	return virshMigrate(s, "qemu+tcp://host-b/system", "tcp:host-b"), nil
}}

// plain is libvirt alone, with no sluice on the way: no case of the campaign, but what to compare one
// with (-case).
var plain = &way{name: "plain", alone: true, command: func(s *stage) ([]string, error) {
	return virshMigrate(s, "qemu+tcp://host-b/system"), nil
}}

const (
	peerURI   = "qemu+unix:///system?socket=/run/sluice/peers/host-b/libvirt.sock"
	operators = "[clients.operators]\nnames = [\"operator\"]\naccess = \"full\"\n"
)

// bandwidth makes a copy last long enough to be struck, in MiB/s.
const bandwidth = "16"

func sluiceMigrate(s *stage) ([]string, error) {
	args := []string{s.programs.Command, "migrate", "--json", s.g.Name, lab.HostB}
	switch s.c.kind {
	case "storage":
		args = append(args, "--copy-storage-all", "--create-disks", "--bandwidth", bandwidth)
	case "parallel":
		args = append(args, "--parallel", "--bandwidth", bandwidth)
	case "postcopy":
		args = append(args, "--postcopy")
	default:
		args = append(args, "--bandwidth", bandwidth)
	}
	return append(args, s.persistence()...), nil
}

// makesDisks says whether sluice makes the guest's disks at the destination.
func (c *testCase) makesDisks() bool { return c.way.name == "sluice" && c.kind == "storage" }

func virshMigrate(s *stage, uri string, more ...string) []string {
	args := []string{"virsh", "-q", "-c", "qemu:///system", "migrate", "--live", s.g.Name, uri}
	args = append(args, more...)
	switch s.c.kind {
	case "storage":
		args = append(args, "--copy-storage-all", "--bandwidth", bandwidth)
	case "parallel":
		args = append(args, "--parallel", "--parallel-connections", "2", "--bandwidth", bandwidth)
	case "postcopy":
		args = append(args, "--postcopy", "--postcopy-after-precopy")
	default:
		args = append(args, "--bandwidth", bandwidth)
	}
	return append(args, s.persistence()...)
}

// persistence is what keeps a guest persistent.
func (s *stage) persistence() []string {
	if s.g.Spec.Persistent {
		return []string{"--persistent", "--undefinesource"}
	}
	return nil
}

// tlsURI is a host's libvirt over TLS, for a client of that name.
func (s *stage) tlsURI(client, host string) (string, error) {
	dir := filepath.Join(s.dir, client)
	uri := "qemu+tls://" + host + "/system?pkipath=" + dir
	if _, err := os.Stat(dir); err == nil {
		return uri, nil
	}
	pair, err := s.site.CA.Issue(pki.Host{Names: []string{client}})
	if err != nil {
		return "", err
	}
	key, err := pair.KeyPEM()
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	for file, content := range map[string][]byte{"cacert.pem": s.site.CA.CertPEM(), "clientcert.pem": pair.CertPEM(), "clientkey.pem": key} {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			return "", err
		}
	}
	return uri, nil
}

// specs are the guests of each kind of migration.
var specs = map[string]lab.GuestSpec{
	"memory":   {MemoryMiB: 64, DirtyMiB: 1, PassesPerSecond: 10},
	"storage":  {MemoryMiB: 48, DirtyMiB: 1, PassesPerSecond: 10, DisksMiB: []int{24}},
	"parallel": {MemoryMiB: 64, DirtyMiB: 1, PassesPerSecond: 10},
	// It dirties more than goes through: pre-copy would never end.
	"postcopy": {MemoryMiB: 64, DirtyMiB: 24, PassesPerSecond: 10},
}

var kinds = []string{"memory", "storage", "parallel", "postcopy"}

// amount is about how many bytes a migration carries.
func amount(spec lab.GuestSpec) uint64 {
	mib := spec.MemoryMiB
	for _, d := range spec.DisksMiB {
		mib += d
	}
	return uint64(mib) << 20
}
