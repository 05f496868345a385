package guestpolicy

import "strings"

// known says whether an element stands where libvirt (up to 11.10) has it, or beneath one whose
// content names nothing outside of the guest. Its path is beneath <domain>.
func known(path string) bool {
	parts := strings.Split(path, "/")
	switch {
	case len(parts) == 1:
		return has(top, parts[0])
	case parts[0] == "os":
		return has(ofOS, parts[1]) && (parts[1] != "nvram" || all(devices["disk"], parts[2:]))
	case parts[0] != "devices":
		return true
	case len(parts) == 2 && parts[1] == "emulator":
		return true
	}
	content, is := devices[parts[1]]
	return is && all(content, parts[2:])
}

func has(words, word string) bool {
	for w := range strings.FieldsSeq(words) {
		if w == word {
			return true
		}
	}
	return false
}

func all(words string, parts []string) bool {
	for _, p := range parts {
		if !has(words, p) {
			return false
		}
	}
	return true
}

// top are the children of <domain>. What is left out is of other drivers than QEMU's
// (bootloader, idmap).
const top = `name uuid hwuuid genid title description metadata
	memory maxMemory currentMemory memoryBacking memtune numatune blkiotune
	vcpu vcpus iothreads iothreadids defaultiothread cputune throttlegroups
	resource os features cpu clock on_poweroff on_reboot on_crash on_lockfailure pm perf
	devices seclabel sysinfo keywrap launchSecurity`

const ofOS = `type loader nvram varstore kernel initrd cmdline dtb shim boot bootmenu bios smbios acpi table firmware feature`

// devices are the children of <devices> that guests have, each with the names of what may be in it.
// What is left out gives the guest something of the host's: hostdev, shmem, lease.
var devices = map[string]string{
	"disk": ofAll + ofSeclabel + ofStorage + `backingStore mirror dataStore format driver blockio geometry iotune
		read_bytes_sec read_bytes_sec_max read_bytes_sec_max_length read_iops_sec read_iops_sec_max read_iops_sec_max_length
		write_bytes_sec write_bytes_sec_max write_bytes_sec_max_length write_iops_sec write_iops_sec_max write_iops_sec_max_length
		total_bytes_sec total_bytes_sec_max total_bytes_sec_max_length total_iops_sec total_iops_sec_max total_iops_sec_max_length
		size_iops_sec group_name throttlefilters throttlefilter metadata_cache max_size iothreads iothread queue
		readonly shareable transient serial wwn vendor product target`,
	"controller": ofAll + `driver iothreads iothread queue master model node pcihole64 target serial`,
	"interface": ofAll + `source mac target model driver guest host script downscript mtu virtualport parameters bandwidth inbound outbound
		link vlan tag filterref parameter rom route ip tune sndbuf coalesce rx frames port teaming local backend portForward range reconnect`,
	"filesystem": ofAll + `driver binary cache sandbox lock thread_pool openfiles source target readonly space_hard_limit space_soft_limit idmap uid gid`,
	"serial":     ofAll + ofSeclabel + ofChar,
	"parallel":   ofAll + ofSeclabel + ofChar,
	"console":    ofAll + ofSeclabel + ofChar,
	"channel":    ofAll + ofSeclabel + ofChar,
	"redirdev":   ofAll + ofSeclabel + ofChar,
	"smartcard":  ofAll + ofSeclabel + ofChar + `certificate database`,
	"rng":        ofAll + ofSeclabel + ofChar + `backend driver rate`,
	"graphics":   `listen channel image jpeg zlib playback streaming mouse clipboard filetransfer gl audio`,
	"video":      ofAll + `driver model acceleration resolution`,
	"audio":      `input output settings`,
	"sound":      ofAll + `codec audio driver`,
	"input":      ofAll + `driver source`,
	"tpm":        ofAll + `backend device source encryption active_pcr_banks sha1 sha256 sha384 sha512 profile`,
	"memory":     ofAll + `source target size node block requested current address label readonly pmem path alignsize nodemask pagesize uuid dynamicMemslots`,
	"memballoon": ofAll + `driver stats`,
	"watchdog":   ofAll, "hub": ofAll, "panic": ofAll, "nvram": ofAll,
	"iommu":       ofAll + `driver`,
	"vsock":       ofAll + `cid driver`,
	"crypto":      ofAll + `backend driver`,
	"pstore":      ofAll + `path size`,
	"redirfilter": `usbdev`,
}

const (
	ofAll      = ` alias address zpci acpi boot `
	ofSeclabel = ` seclabel label `
	ofChar     = ` source target log model protocol reconnect mouse clipboard `
	ofStorage  = ` source host auth secret encryption cipher ivgen initiator iqn reservations slices slice snapshot
		config ssl cookies cookie readahead timeout reconnect identity knownHosts `
)

// opaque are the children of <domain> whose values may look like paths and are none.
var opaque = map[string]bool{"name": true, "title": true, "description": true, "keywrap": true, "launchSecurity": true}

// placeOf is an element's path with what stands for the same thing put in one place: a disk's image
// is one whether it is the upper one or one that it is based on, and a character device is one
// whatever it is for.
func placeOf(path string) string {
	parts := strings.Split(path, "/")
	if parts[0] == "os" && len(parts) > 2 && parts[1] == "nvram" {
		return "devices/disk/" + strings.Join(parts[2:], "/")
	}
	if parts[0] != "devices" || len(parts) < 2 {
		return path
	}
	switch parts[1] {
	case "disk":
		kept := parts[:2:2]
		for _, p := range parts[2:] {
			if p != "backingStore" && p != "dataStore" {
				kept = append(kept, p)
			}
		}
		if len(kept) > 3 && kept[2] == "mirror" {
			kept = append(kept[:2:2], kept[3:]...)
		}
		return strings.Join(kept, "/")
	case "serial", "parallel", "console", "channel", "redirdev":
		return strings.Join(append([]string{"char"}, parts[2:]...), "/")
	case "smartcard":
		if len(parts) > 2 {
			return strings.Join(append([]string{"char"}, parts[2:]...), "/")
		}
	case "rng":
		if len(parts) > 3 && parts[2] == "backend" {
			return strings.Join(append([]string{"char"}, parts[3:]...), "/")
		}
	}
	return path
}
