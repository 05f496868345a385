package main

import "fmt"

// Options of virsh migrate that sluice migrate has none of the same name for, by what to say of
// them to someone who types them by habit. An option that sluice migrate gets is taken out here.
var (
	virshNeedless = map[string]string{
		"domain":            "name the guest as the first word, GUEST",
		"desturi":           "name the peer as HOST instead of a URI",
		"p2p":               "not needed: the two hosts' sluices run the migration between them",
		"direct":            "not needed: the two hosts' sluices run the migration between them",
		"tunnelled":         "not needed: memory and disks always go through sluice, over TLS",
		"change-protection": "not needed: sluice always asks libvirt for it",
		"verbose":           "not needed: progress is always shown; --json is for programs",
		"migrateuri":        "not needed: sluice makes the sockets and steers memory through them",
		"disks-uri":         "not needed: sluice steers disks through its own sockets",
		"disks-port":        "not needed: sluice steers disks through its own sockets",
		"listen-address":    "not needed: QEMU listens on a unix socket of sluice's",
		"tls-destination":   "not needed: sluice knows the peer's certificate by `names` in its table under [peers]",
		"zerocopy":          "not possible: QEMU's zero copy takes a TCP connection, and QEMU's connections to sluice are unix sockets",
		"rdma-pin-all":      "not possible: RDMA would go past sluice, without TLS",
	}
	// virshAlone has those that go through sluice when virsh gives them.
	virshAlone = []string{"graphicsuri"}
)

// virshOnly is what to do instead of giving an option of virsh's to sluice migrate; "" for what is
// no option of virsh's.
func virshOnly(option string) string {
	for _, name := range virshAlone {
		if name == option {
			return fmt.Sprintf("sluice migrate does not have it, but virsh does, and goes through sluice as well: virsh migrate --live --p2p GUEST 'qemu+unix:///system?socket=/run/sluice/peers/HOST/libvirt.sock' --%s …", option)
		}
	}
	return virshNeedless[option]
}
