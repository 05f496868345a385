package config

import (
	"maps"
	"net/netip"
	"path"
	"reflect"
	"slices"
	"strings"
)

// Accept is what guests that come may ask of this host by their descriptions
// (package guestpolicy). A nil list means its default; a list that is set
// replaces that. Of a peer's own, what is nil is the host's.
type Accept struct {
	Folders       []string `toml:"folders"`        // of disks' images; AcceptPools stands for those of libvirt's storage pools
	DiskProtocols []string `toml:"disk_protocols"` // of network disks
	Firmware      []string `toml:"firmware"`       // folders of read-only firmware, and of templates for its variables
	NVRAM         []string `toml:"nvram"`          // folders of those variables, besides Folders
	Emulators     []string `toml:"emulators"`      // patterns of programs
	SharedFolders []string `toml:"shared_folders"` // folders that guests may share with the host

	CharTypes   []string `toml:"char_types"`   // of consoles, serial ports and channels
	CharFiles   []string `toml:"char_files"`   // patterns of files that these write, and of sockets that they make
	CharConnect []string `toml:"char_connect"` // patterns of sockets that they connect to

	Interfaces []string `toml:"interfaces"` // types of network interfaces
	Networks   []string `toml:"networks"`   // libvirt's; default: any that is here
	Bridges    []string `toml:"bridges"`    // and other interfaces of the host; default: any that is here

	GraphicsListen []string `toml:"graphics_listen"` // addresses, prefixes and libvirt's networks, besides loopback

	Elements []string `toml:"elements"` // paths of elements that are accepted whole
}

// AcceptPools stands, in folders, for those of libvirt's storage pools.
const AcceptPools = "@pools"

var acceptDefaults = Accept{
	Folders: []string{AcceptPools, "/var/lib/libvirt/images",
		"/var/lib/nova/instances", "/var/lib/nova/mnt", // OpenStack
		"/rhev/data-center", "/run/vdsm"}, // oVirt
	DiskProtocols: []string{"rbd", "iscsi", "gluster"},
	Firmware: []string{"/usr/share/OVMF", "/usr/share/AAVMF", "/usr/share/edk2", "/usr/share/edk2-ovmf", "/usr/share/qemu-efi-aarch64",
		"/usr/share/qemu", "/usr/share/qemu-kvm", "/usr/share/seabios", "/usr/share/ipxe", "/usr/share/ovmf"},
	NVRAM:         []string{"/var/lib/libvirt/qemu/nvram"},
	Emulators:     []string{"/usr/bin/qemu-system-*", "/usr/bin/qemu-kvm", "/usr/bin/kvm", "/usr/libexec/qemu-kvm"},
	SharedFolders: []string{},
	CharTypes:     []string{"pty", "null", "vc", "spicevmc", "spiceport", "qemu-vdagent", "unix", "file"},
	CharFiles: []string{
		"/var/lib/libvirt/qemu/channel/target/*", "/var/lib/libvirt/qemu/channel/target/*/*", // libvirt's own
		"/run/libvirt/qemu/channel/*", "/run/libvirt/qemu/channel/*/*",
		"/var/lib/libvirt/qemu/channels/*",                                                // oVirt
		"/var/lib/libvirt/qemu/*.agent", "/var/lib/libvirt/qemu/*.org.qemu.guest_agent.0", // CloudStack
		"/var/lib/nova/instances/*/console.log"},
	CharConnect:    []string{},
	Interfaces:     []string{"network", "bridge"},
	GraphicsListen: []string{},
	Elements:       []string{},
}

// WithDefaults is a with what is nil in it set to its default.
func (a Accept) WithDefaults() Accept { return a.over(acceptDefaults) }

// Accepted is what guests that the peer brings may ask for.
func (c *Config) Accepted(peer string) Accept {
	if p, _ := c.Peer(peer); p.Accept != nil {
		return p.Accept.over(c.Accept)
	}
	return c.Accept
}

// over is a with what is nil in it taken from base.
func (a Accept) over(base Accept) Accept {
	of, from := reflect.ValueOf(&a).Elem(), reflect.ValueOf(base)
	for i := range of.NumField() {
		if of.Field(i).IsNil() {
			of.Field(i).Set(from.Field(i))
		}
	}
	return a
}

func (c *checker) accepts(cfg *Config) {
	c.accept("accept", cfg.Accept)
	tables := cfg.tables()
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		if a := tables[name].Accept; a != nil {
			c.accept("peers."+name+".accept", *a)
		}
	}
}

func (c *checker) accept(key string, a Accept) {
	each := func(name string, list []string, wrong func(string) string) {
		for _, v := range list {
			if why := wrong(v); why != "" {
				c.fault(key+"."+name, "%q %s", v, why)
			}
		}
	}
	each("folders", a.Folders, func(v string) string {
		if v == AcceptPools {
			return ""
		}
		return wrongFolder(v)
	})
	each("firmware", a.Firmware, wrongFolder)
	each("nvram", a.NVRAM, wrongFolder)
	each("shared_folders", a.SharedFolders, wrongFolder)
	each("emulators", a.Emulators, wrongPattern)
	each("char_files", a.CharFiles, wrongPattern)
	each("char_connect", a.CharConnect, wrongPattern)
	each("graphics_listen", a.GraphicsListen, func(v string) string {
		if _, err := netip.ParsePrefix(v); strings.Contains(v, "/") && err != nil {
			return "is no prefix of addresses, such as \"192.0.2.0/24\""
		}
		return ""
	})
	each("disk_protocols", a.DiskProtocols, wrongWord(diskProtocols))
	each("char_types", a.CharTypes, wrongWord(charTypes))
	each("interfaces", a.Interfaces, wrongWord(interfaces))
	each("elements", a.Elements, func(v string) string {
		if v == "" || strings.ContainsAny(v, "<> @") || strings.HasPrefix(v, "/") {
			return "is no path of an element beneath <domain>, such as \"devices/hostdev\""
		}
		return ""
	})
}

// What libvirt's QEMU driver knows (docs/formatdomain.rst).
const (
	diskProtocols = "rbd iscsi gluster nbd http https ftp ftps tftp ssh nfs vxhs sheepdog"
	charTypes     = "pty null vc spicevmc spiceport qemu-vdagent unix file dev pipe stdio udp tcp nmdm dbus"
	interfaces    = "network bridge ethernet direct user vhostuser hostdev vdpa internal client server mcast udp vds null"
)

func wrongWord(words string) func(string) string {
	return func(v string) string {
		if slices.Contains(strings.Fields(words), v) {
			return ""
		}
		return "is none that libvirt has for QEMU: " + strings.Join(strings.Fields(words), ", ")
	}
}

func wrongFolder(v string) string {
	switch {
	case !path.IsAbs(v) || path.Clean(v) != v:
		return "is no absolute path of a folder without a slash at its end"
	case v == "/":
		return "is the whole host: list folders beneath it"
	}
	return ""
}

func wrongPattern(v string) string {
	if _, err := path.Match(v, ""); err != nil || !path.IsAbs(v) {
		return "is no absolute path in which * stands for any part of a name, such as \"/var/lib/guests/*/console.log\""
	}
	return ""
}
