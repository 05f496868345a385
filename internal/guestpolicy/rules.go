package guestpolicy

import (
	"net/netip"
	"strings"

	"github.com/virt-sluice/sluice/internal/config"
)

// elements are the rules for elements as such, by their place, where what is absent matters.
var elements = map[string]func(*judge, *element){
	"":                    (*judge).domain,
	"seclabel":            (*judge).seclabel,
	"seclabel/baselabel":  (*judge).never,
	"devices/disk":        (*judge).disk,
	"devices/interface":   (*judge).netInterface,
	"devices/filesystem":  (*judge).filesystem,
	"devices/graphics":    oneOf("type", "", "vnc", "spice", "egl-headless"),
	"devices/input":       oneOf("type", "", "mouse", "tablet", "keyboard"),
	"devices/audio":       oneOf("type", "", "none", "spice"),
	"devices/memory":      oneOf("model", "", "dimm", "virtio-mem", "nvdimm", "virtio-pmem", "sgx-epc"),
	"devices/tpm/backend": oneOf("type", "", "emulator"),
	"devices/tpm/device":  (*judge).never,
	"devices/smartcard":   (*judge).smartcard,
	"devices/rng/backend": (*judge).rng,
	"char":                (*judge).char,

	"devices/disk/seclabel":        (*judge).deviceLabel,
	"devices/disk/source/seclabel": (*judge).deviceLabel,
	"char/seclabel":                (*judge).deviceLabel,
	"char/source/seclabel":         (*judge).deviceLabel,
}

// values are the rules for attributes (place@name) and for texts (place).
var values = map[string]func(j *judge, e *element, value string){
	"devices/emulator": func(j *judge, e *element, v string) {
		if !j.policy.Emulator(v) {
			j.refuse(e.path, v, "emulators", v, "it is none of this host's emulators")
		}
	},
	"os/loader":            (*judge).loader,
	"os/nvram":             func(j *judge, e *element, v string) { j.nvram(e.path, v) },
	"os/nvram@template":    func(j *judge, e *element, v string) { j.firmware(e.path+"@template", v) },
	"os/varstore@path":     func(j *judge, e *element, v string) { j.nvram(e.path+"@path", v) },
	"os/varstore@template": func(j *judge, e *element, v string) { j.firmware(e.path+"@template", v) },
	"os/kernel":            inFolders,
	"os/initrd":            inFolders,
	"os/dtb":               inFolders,
	"os/shim":              inFolders,
	"os/acpi/table":        inFolders,
	"os/cmdline":           func(*judge, *element, string) {},
	"sysinfo/entry@file":   attribute("file", inFolders),
	"resource/partition": func(j *judge, e *element, v string) { // of control groups, which libvirt makes
		if !clean(v) {
			j.noPath(e, v)
		}
	},
	"blkiotune/device/path": func(j *judge, e *element, v string) {
		if !clean(v) || !beneath(v, "/dev") {
			j.refuse(e.path, v, "elements", e.path, "it is no device")
		}
	},
	"launchSecurity/quoteGenerationService@path": (*judge).noPath,

	"devices/disk/source@file":           attribute("file", inFolders),
	"devices/disk/source@dev":            attribute("dev", inFolders),
	"devices/disk/mirror@file":           attribute("file", inFolders),
	"devices/disk/source@dir":            attribute("dir", func(j *judge, e *element, v string) { j.shared(e.path, v) }),
	"devices/disk/source@protocol":       (*judge).protocol,
	"devices/disk/source@pool":           (*judge).pool,
	"devices/disk/source@volume":         func(*judge, *element, string) {}, // goes with its pool
	"devices/disk/source@name":           func(*judge, *element, string) {}, // at another host
	"devices/disk/source@path":           (*judge).noPath,
	"devices/disk/source/host@socket":    (*judge).noPath,
	"devices/disk/source/host@transport": (*judge).transport,
	"devices/disk@sgio":                  only("sgio", "filtered"),
	"devices/disk@rawio":                 only("rawio", "no"),

	"devices/interface/source@network":  (*judge).network,
	"devices/interface/source@bridge":   (*judge).bridge,
	"devices/interface/source@dev":      (*judge).bridge,
	"devices/interface/source@path":     attribute("path", (*judge).charPath),
	"devices/interface/script@path":     (*judge).script,
	"devices/interface/downscript@path": (*judge).script,
	"devices/interface/backend@tap":     only("tap", "/dev/net/tun"),
	"devices/interface/backend@vhost":   only("vhost", "/dev/vhost-net"),
	"devices/interface/rom@file":        attribute("file", func(j *judge, e *element, v string) { j.firmware(e.path, v) }),

	"devices/filesystem/source@dir":  attribute("dir", func(j *judge, e *element, v string) { j.shared(e.path, v) }),
	"devices/filesystem/target@dir":  func(*judge, *element, string) {}, // in the guest
	"devices/filesystem/binary@path": only("path", "/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"),

	"devices/graphics@listen":         (*judge).listen,
	"devices/graphics/listen@address": (*judge).listenAddress,
	"devices/graphics/listen@network": (*judge).listenNetwork,
	"devices/graphics@socket":         attribute("socket", (*judge).charPath),
	"devices/graphics/listen@socket":  attribute("socket", (*judge).charPath),

	"char/source@path":                (*judge).charPath,
	"char/log@file":                   attribute("file", (*judge).charFile),
	"char@tty":                        attribute("tty", (*judge).ptyPath),
	"devices/rng/backend":             (*judge).random,
	"devices/memory/source/path":      inFolders,
	"devices/pstore/path":             func(j *judge, e *element, v string) { j.nvram(e.path, v) },
	"devices/tpm/backend/source@path": attribute("path", inFolders),
	"devices/tpm/source@path":         attribute("path", inFolders),
}

// sources are the places of elements that name what is outside of the guest, with their attributes
// that name nothing. Others are refused where they have no rule.
var sources = map[string][]string{
	"devices/disk/source":       {"startupPolicy", "index", "mode", "tls", "tlsHostname", "tlsPriority", "query", "append"},
	"devices/disk/source/host":  {"name", "port"},
	"devices/interface/source":  {"portgroup", "portid", "mode", "type", "managed", "address", "port"},
	"devices/filesystem/source": {"startupPolicy"},
	"char/source":               {"mode", "host", "service", "channel", "append", "tls", "index", "wiremode"},
}

// attribute makes a rule for a text one for an attribute, told by its name.
func attribute(name string, rule func(*judge, *element, string)) func(*judge, *element, string) {
	return func(j *judge, e *element, v string) {
		named := *e
		named.path += "@" + name
		rule(j, &named, v)
	}
}

// only accepts some values of an attribute.
func only(name string, accepted ...string) func(*judge, *element, string) {
	return func(j *judge, e *element, v string) {
		if !lists(accepted, v) {
			j.refuse(e.path+"@"+name, v, "elements", e.path, "only %s is accepted", strings.Join(accepted, " or "))
		}
	}
}

// oneOf accepts an element by one of its attributes. absent is what libvirt takes where that is not
// there.
func oneOf(name, absent string, accepted ...string) func(*judge, *element) {
	return func(j *judge, e *element) {
		if v := e.attr(name, absent); !lists(accepted, v) {
			j.refuse(e.path+"@"+name, v, "elements", e.path, "only %s are accepted", strings.Join(accepted, ", "))
		}
	}
}

func (e *element) attr(name, absent string) string {
	if v, is := e.attrs[name]; is {
		return v
	}
	return absent
}

func (j *judge) never(e *element) {
	j.refuse(e.path, "", "elements", e.path, "this element is not accepted")
}

func (j *judge) noPath(e *element, v string) {
	j.refuse(e.path, v, "elements", e.path, "a path is not accepted here")
}

func (j *judge) domain(e *element) {
	if t := e.attr("type", ""); t != "kvm" && t != "qemu" && t != "hvf" {
		j.refuse("domain@type", t, "", "", "only guests of QEMU are accepted")
	}
}

// A label that libvirt makes up itself (dynamic) keeps the guest within what is its own; libvirt
// overlooks which one the description has of the host that the guest is from.
func (j *judge) seclabel(e *element) {
	if t := e.attr("type", "dynamic"); t != "dynamic" {
		j.refuse(e.path+"@type", t, "elements", e.path, "only labels of libvirt's own choice (dynamic) are accepted")
	}
}

// deviceLabel accepts that a device's file is left as it is, and no label of the description's own.
func (j *judge) deviceLabel(e *element) {
	if e.attr("relabel", "yes") != "no" {
		j.refuse(e.path+"@relabel", e.attr("relabel", "yes"), "elements", e.path, "a label of its own is not accepted")
	}
}

func (j *judge) transport(e *element, v string) {
	if v != "tcp" && v != "rdma" {
		j.refuse(e.path+"@transport", v, "elements", e.path, "only tcp and rdma are accepted")
	}
}

func (j *judge) network(e *element, v string) {
	if a := j.policy.accept.Networks; a != nil && !lists(a, v) {
		j.refuse(e.path+"@network", v, "networks", v, "it is not one of the networks for guests that come")
	}
}

func (j *judge) bridge(e *element, v string) {
	if a := j.policy.accept.Bridges; a != nil && !lists(a, v) {
		j.refuse(e.path, v, "bridges", v, "it is not one of the bridges for guests that come")
	}
}

func (j *judge) netInterface(e *element) {
	t := e.attr("type", "user")
	if !lists(j.policy.accept.Interfaces, t) {
		j.refuse(e.path+"@type", t, "interfaces", t, "interfaces of this type are not accepted")
	}
}

func (j *judge) script(e *element, v string) {
	if v != "" { // which libvirt takes for none
		j.refuse(e.path+"@path", v, "elements", e.path, "a program of its own is not accepted")
	}
}

func (j *judge) filesystem(e *element) {
	if t := e.attr("type", "mount"); t != "mount" {
		j.refuse(e.path+"@type", t, "elements", e.path, "only folders are accepted (type mount)")
	}
}

// listen judges the address that a graphics element has in its older form. With others in their
// newer one it is a copy.
func (j *judge) listen(e *element, v string) { j.address(e.path+"@listen", v) }

func (j *judge) listenAddress(e *element, v string) {
	if e.attr("type", "address") == "network" { // where libvirt overlooks it
		return
	}
	j.address(e.path+"@address", v)
}

func (j *judge) listenNetwork(e *element, v string) {
	if !lists(j.policy.accept.GraphicsListen, v) {
		j.refuse(e.path+"@network", v, "graphics_listen", v, "graphics may listen on loopback alone")
	}
}

func (j *judge) address(where, v string) {
	if v == "" || v == "localhost" || lists(j.policy.accept.GraphicsListen, v) {
		return
	}
	a, err := netip.ParseAddr(v)
	if err == nil && a.IsLoopback() {
		return
	}
	for _, l := range j.policy.accept.GraphicsListen {
		if p, perr := netip.ParsePrefix(l); err == nil && perr == nil && p.Contains(a) {
			return
		}
	}
	j.refuse(where, v, "graphics_listen", v, "graphics may listen on loopback alone")
}

func (j *judge) rng(e *element) {
	switch m := e.attr("model", ""); m {
	case "random", "builtin":
	default:
		j.refuse(e.path+"@model", m, "elements", e.path, "random numbers come from /dev/urandom, /dev/random or QEMU itself (builtin)")
	}
}

func (j *judge) random(e *element, v string) {
	switch v = strings.TrimSpace(v); v {
	case "", "/dev/urandom", "/dev/random":
	default:
		j.refuse(e.path, v, "elements", e.path, "random numbers come from /dev/urandom, /dev/random or QEMU itself (builtin)")
	}
}

func (j *judge) smartcard(e *element) {
	if m := e.attr("mode", ""); m != "passthrough" {
		j.refuse(e.path+"@mode", m, "elements", e.path, "a smart card of the host's is not accepted")
		return
	}
	j.char(e)
}

func (j *judge) protocol(e *element, v string) {
	if !lists(j.policy.accept.DiskProtocols, v) {
		j.refuse(e.path+"@protocol", v, "disk_protocols", v, "network disks of this kind are not accepted")
	}
}

func (j *judge) disk(e *element) {
	switch t := e.attr("type", "file"); t {
	case "file", "block", "volume", "network", "dir":
	default:
		j.refuse(e.path+"@type", t, "elements", e.path, "disks of this type are not accepted")
	}
}

// pool judges a volume by its pool.
func (j *judge) pool(e *element, v string) {
	if lists(j.policy.accept.Folders, config.AcceptPools) {
		for _, p := range j.ownPools() {
			if p.Name == v {
				return
			}
		}
	}
	j.refuse(e.path+"@pool", v, "folders", "", "it is none of this host's storage pools that hold guests' images alone")
}
