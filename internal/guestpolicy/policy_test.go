package guestpolicy

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/config"
)

// guest is a description with this in it.
func guest(content string) string {
	return `<domain type='kvm' id='3'><name>g</name><uuid>d7a2f9bc-6a1e-4d0e-8a3b-0123456789ab</uuid>` + content + `</domain>`
}

func device(content string) string { return guest("<devices>" + content + "</devices>") }

func osOf(content string) string { return guest("<os><type>hvm</type>" + content + "</os>") }

// accepted are things that guests have by default.
var accepted = map[string]string{
	"nothing":              guest(""),
	"metadata":             guest(`<metadata><nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1" nova:f='/etc/x'><e file='/etc/shadow'/></nova:instance></metadata>`),
	"a namespace's name":   `<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>g</name></domain>`,
	"title":                guest(`<title>/var/x</title><description>../y</description>`),
	"live label":           guest(`<seclabel type='dynamic' model='apparmor' relabel='yes'><label>libvirt-d7a2</label><imagelabel>libvirt-d7a2</imagelabel></seclabel>`),
	"partition":            guest(`<resource><partition>/machine</partition></resource>`),
	"weight":               guest(`<blkiotune><device><path>/dev/sda</path><weight>100</weight></device></blkiotune>`),
	"SEV":                  guest(`<launchSecurity type='sev'><dhCert>/AbC+x==</dhCert></launchSecurity>`),
	"command line":         osOf(`<cmdline>/init console=ttyS0 root=/dev/vda</cmdline>`),
	"kernel":               osOf(`<kernel>/var/lib/nova/instances/u/kernel</kernel><initrd>/var/lib/nova/instances/u/ramdisk</initrd>`),
	"UEFI":                 osOf(`<loader readonly='yes' secure='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader><nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>/var/lib/libvirt/qemu/nvram/g_VARS.fd</nvram>`),
	"UEFI by libvirt":      guest(`<os firmware='efi'><type>hvm</type><firmware><feature enabled='yes' name='secure-boot'/></firmware><loader secure='yes'/></os>`),
	"nvram as a source":    osOf(`<nvram type='file'>` + "\n" + `<source file='/var/lib/libvirt/images/g.fd'/></nvram>`),
	"emulator":             device(`<emulator>/usr/bin/qemu-system-x86_64</emulator>`),
	"emulator of RHEL":     device(`<emulator>/usr/libexec/qemu-kvm</emulator>`),
	"image":                device(`<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/var/lib/libvirt/images/a,b.qcow2' index='1'/><backingStore type='file' index='2'><format type='qcow2'/><source file='/var/lib/nova/instances/_base/x'/><backingStore/></backingStore><target dev='vda' bus='virtio'/><alias name='virtio-disk0'/></disk>`),
	"empty drive":          device(`<disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>`),
	"oVirt's":              device(`<disk type='file'><source file='/var/run/vdsm/payload/u.img'/></disk><disk type='file'><source file='/rhev/data-center/mnt/nfs/u/images/v'/></disk>`),
	"pool's":               device(`<disk type='file'><source file='/mnt/3c5c/vol.qcow2'/></disk><disk type='block'><source dev='/dev/guests/g1'/></disk>`),
	"volume":               device(`<disk type='volume'><source pool='primary' volume='g.qcow2'/></disk>`),
	"Ceph":                 device(`<disk type='network'><auth username='cinder'><secret type='ceph' uuid='d7a2f9bc-6a1e-4d0e-8a3b-0123456789ab'/></auth><source protocol='rbd' name='vms/g_disk' index='1'><host name='192.0.2.1' port='6789'/></source></disk>`),
	"network":              device(`<interface type='network'><mac address='52:54:00:00:00:01'/><source network='default' portid='x' bridge='virbr0'/><target dev='vnet0'/><model type='virtio'/><driver name='vhost' queues='4'/></interface>`),
	"bridge":               device(`<interface type='bridge'><source bridge='br-int'/><virtualport type='openvswitch'><parameters interfaceid='x'/></virtualport><target dev='tap1'/><mtu size='1450'/><rom file='/usr/share/qemu/x.rom'/></interface>`),
	"pty":                  device(`<serial type='pty'><source path='/dev/pts/3'/><target type='isa-serial' port='0'/></serial><console type='pty' tty='/dev/pts/3'><source path='/dev/pts/3'/></console>`),
	"Nova's console":       device(`<serial type='pty'><log file='/var/lib/nova/instances/u/console.log' append='off'/></serial>`),
	"agent":                device(`<channel type='unix'><source mode='bind' path='/var/lib/libvirt/qemu/channel/target/domain-3-g/org.qemu.guest_agent.0'/><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>`),
	"agent without a path": device(`<channel type='unix'><source mode='bind'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`),
	"CloudStack's agent":   device(`<channel type='unix'><source mode='bind' path='/var/lib/libvirt/qemu/v-2-VM.org.qemu.guest_agent.0'/></channel>`),
	"SPICE":                device(`<graphics type='spice' autoport='yes'><listen type='address' address='127.0.0.1'/></graphics><channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel><redirdev bus='usb' type='spicevmc'/><audio id='1' type='spice'/>`),
	"VNC":                  device(`<graphics type='vnc' port='-1' autoport='yes' listen='::1'><listen type='address' address='::1'/></graphics>`),
	"VNC without listener": device(`<graphics type='vnc'><listen type='none'/></graphics>`),
	"tablet":               device(`<input type='tablet' bus='usb'><alias name='i'/></input>`),
	"RNG":                  device(`<rng model='virtio'><backend model='random'>/dev/urandom</backend><rate bytes='1'/></rng><rng model='virtio'><backend model='builtin'/></rng>`),
	"vTPM":                 device(`<tpm model='tpm-crb'><backend type='emulator' version='2.0'><encryption secret='x'/></backend></tpm>`),
	"the rest":             device(`<video><model type='virtio'><acceleration accel3d='no'/></model></video><memballoon model='virtio'/><watchdog model='i6300esb'/><panic model='isa'/><vsock model='virtio'><cid auto='yes' address='3'/></vsock><iommu model='intel'><driver intremap='on'/></iommu><controller type='pci' model='pcie-root'/><hub type='usb'/><sound model='ich6'/>`),
	"memory":               device(`<memory model='dimm'><source><pagesize unit='KiB'>4</pagesize></source><target><size unit='KiB'>524288</size><node>0</node></target></memory>`),
}

// refused are things that need a setting, with the key and what is to stand there, or with neither.
var refused = map[string]struct{ text, key, allow, word string }{
	"command line":             {`<domain type='kvm' xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:commandline><q:arg value='-monitor'/></q:commandline></domain>`, "elements", "qemu:commandline", "qemu:commandline"},
	"another namespace":        {`<domain type='kvm'><lxc:namespace xmlns:lxc='http://libvirt.org/schemas/domain/lxc/1.0'/></domain>`, "elements", "http://libvirt.org/schemas/domain/lxc/1.0:namespace", ""},
	"a prefix of nothing":      {device(`<e:emulator>/bin/sh</e:emulator>`), "elements", "devices/e:emulator", ""},
	"a default namespace":      {guest(`<os xmlns='urn:e'><kernel>/etc/shadow</kernel></os>`), "elements", "urn:e:os", ""},
	"another driver":           {strings.Replace(guest(""), "kvm", "lxc", 1), "", "", "QEMU"},
	"bootloader":               {guest(`<bootloader>/usr/bin/pygrub</bootloader>`), "elements", "bootloader", ""},
	"something new":            {guest(`<novelty of='etc/x'/>`), "elements", "novelty", ""},
	"partition elsewhere":      {guest(`<resource><partition>/machine/../../etc/x</partition></resource>`), "elements", "resource/partition", ""},
	"label":                    {guest(`<seclabel type='static' model='dac' relabel='yes'><label>+0:+0</label></seclabel>`), "elements", "seclabel", "static"},
	"no label":                 {guest(`<seclabel type='none'/>`), "elements", "seclabel", "none"},
	"base label":               {guest(`<seclabel type='dynamic' model='selinux'><baselabel>system_u:system_r:svirt_custom_t:s0</baselabel></seclabel>`), "elements", "seclabel/baselabel", ""},
	"label of a disk":          {device(`<disk type='file'><source file='/var/lib/libvirt/images/x'><seclabel model='dac' relabel='yes'><label>root:root</label></seclabel></source></disk>`), "elements", "devices/disk/source/seclabel", ""},
	"init":                     {osOf(`<init>/bin/sh</init>`), "elements", "os/init", ""},
	"kernel":                   {osOf(`<kernel>/boot/vmlinuz</kernel>`), "folders", "/boot", ""},
	"relative kernel":          {osOf(`<kernel>boot/vmlinuz</kernel>`), "folders", "", ""},
	"writable firmware":        {osOf(`<loader readonly='no' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>`), "folders", "/usr/share/OVMF", ""},
	"loader":                   {osOf(`<loader readonly='yes' type='pflash'>/etc/shadow</loader>`), "firmware", "/etc", ""},
	"template":                 {osOf(`<nvram template='/etc/shadow'>/var/lib/libvirt/qemu/nvram/g.fd</nvram>`), "firmware", "/etc", "template"},
	"variables over firmware":  {osOf(`<nvram>/usr/share/OVMF/OVMF_CODE.fd</nvram>`), "nvram", "/usr/share/OVMF", ""},
	"ACPI table":               {osOf(`<acpi><table type='slic'>/etc/shadow</table></acpi>`), "folders", "/etc", ""},
	"fw_cfg":                   {guest(`<sysinfo type='fwcfg'><entry name='opt/x' file='etc/shadow'/></sysinfo>`), "folders", "", "sysinfo/entry@file"},
	"emulator":                 {device(`<emulator>/tmp/qemu-system-x86_64</emulator>`), "emulators", "/tmp/qemu-system-x86_64", ""},
	"emulator's folder":        {device(`<emulator>/usr/bin/qemu-system-x/../../../tmp/x</emulator>`), "emulators", "", ""},
	"emulator in two parts":    {device(`<emulator>/tmp<!-- -->/x</emulator>`), "emulators", "/tmp/x", ""},
	"second emulator":          {device(`<emulator>/usr/bin/kvm</emulator><emulator>/bin/sh</emulator>`), "emulators", "/bin/sh", ""},
	"disk":                     {device(`<disk type='block'><source dev='/dev/sda'/></disk>`), "folders", "/dev", ""},
	"disk by dots":             {device(`<disk type='file'><source file='/var/lib/libvirt/images/../../../../etc/shadow'/></disk>`), "folders", "/etc", ""},
	"relative disk":            {device(`<disk type='file'><source file='etc/shadow'/></disk>`), "folders", "/etc", ""},
	"disk of another type":     {device(`<disk type='network'><source file='/etc/shadow' protocol='rbd'/></disk>`), "folders", "/etc", ""},
	"backing file":             {device(`<disk type='file'><source file='/var/lib/libvirt/images/x'/><backingStore type='file'><format type='raw'/><source file='/etc/shadow'/></backingStore></disk>`), "folders", "/etc", "backingStore"},
	"mirror":                   {device(`<disk type='file'><mirror type='file' file='/etc/cron.d/x'><source file='/var/lib/libvirt/images/y'/></mirror></disk>`), "folders", "/etc/cron.d", "mirror"},
	"something new in a disk":  {device(`<disk type='file'><sidecar><source file='etc/x'/></sidecar></disk>`), "elements", "devices/disk/sidecar", ""},
	"something new of a file":  {device(`<disk type='file'><source fdgroup='x'/></disk>`), "", "", "fdgroup"},
	"HTTP":                     {device(`<disk type='network'><source protocol='http' name='latest'><host name='169.254.169.254'/></source></disk>`), "disk_protocols", "http", ""},
	"NBD socket":               {device(`<disk type='network'><source protocol='rbd'><host transport='unix' socket='/run/x'/></source></disk>`), "elements", "devices/disk/source/host", "transport"},
	"vhost-user disk":          {device(`<disk type='vhostuser'><source type='unix' path='/run/x'/></disk>`), "elements", "devices/disk", ""},
	"raw SCSI":                 {device(`<disk type='block' rawio='yes'><source dev='/dev/guests/x'/></disk>`), "elements", "devices/disk", "rawio"},
	"pool of devices":          {device(`<disk type='volume'><source pool='scsi' volume='unit:0:0:0'/></disk>`), "folders", "", "pool"},
	"pool of root's":           {device(`<disk type='file'><source file='/root/.ssh/id'/></disk>`), "folders", "/root/.ssh", ""},
	"host device":              {device(`<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='0' slot='2' function='0'/></source></hostdev>`), "elements", "devices/hostdev", ""},
	"shared memory":            {device(`<shmem name='other'/>`), "elements", "devices/shmem", ""},
	"file system":              {device(`<filesystem type='mount'><source dir='/etc'/><target dir='x'/></filesystem>`), "shared_folders", "/", ""},
	"daemon for it":            {device(`<filesystem type='mount'><binary path='/tmp/x'/></filesystem>`), "elements", "devices/filesystem/binary", ""},
	"socket for it":            {device(`<filesystem type='mount'><source socket='/tmp/x'/></filesystem>`), "", "", "socket"},
	"interface without a type": {device(`<interface><source dev='x'/></interface>`), "interfaces", "user", ""},
	"macvtap":                  {device(`<interface type='direct'><source dev='eth0' mode='passthrough'/></interface>`), "interfaces", "direct", ""},
	"vhost-user":               {device(`<interface type='vhostuser'><source type='unix' path='/run/vhu' mode='client'/></interface>`), "interfaces", "vhostuser", ""},
	"script":                   {device(`<interface type='bridge'><source bridge='b'/><script path='/tmp/x'/></interface>`), "elements", "devices/interface/script", ""},
	"relative script":          {device(`<interface type='bridge'><source bridge='b'/><downscript path='tmp/x'/></interface>`), "elements", "devices/interface/downscript", ""},
	"tap device":               {device(`<interface type='bridge'><source bridge='b'/><backend tap='/dev/x'/></interface>`), "elements", "devices/interface/backend", ""},
	"console in a file":        {device(`<serial type='file'><source path='/etc/cron.d/x'/></serial>`), "char_files", "/etc/cron.d/x", ""},
	"console's log":            {device(`<serial type='pty'><log file='/etc/cron.d/x'/></serial>`), "char_files", "/etc/cron.d/x", ""},
	"another file of Nova's":   {device(`<serial type='pty'><log file='/var/lib/nova/instances/u/disk'/></serial>`), "char_files", "", ""},
	"console of a pty's path":  {device(`<console tty='/dev/pts/../sda'/>`), "elements", "devices/console", ""},
	"device":                   {device(`<serial type='dev'><source path='/dev/mem'/></serial>`), "char_types", "dev", ""},
	"pipe":                     {device(`<serial type='pipe'><source path='/x'/></serial>`), "char_types", "pipe", ""},
	"TCP":                      {device(`<serial type='tcp'><source mode='bind' host='0.0.0.0' service='4444'/></serial>`), "char_types", "tcp", ""},
	"socket":                   {device(`<channel type='unix'><source mode='connect' path='/run/libvirt/libvirt-sock'/></channel>`), "char_connect", "/run/libvirt/libvirt-sock", ""},
	"another's agent":          {device(`<channel type='unix'><source mode='connect' path='/var/lib/libvirt/qemu/channel/target/domain-1-v/org.qemu.guest_agent.0'/></channel>`), "char_connect", "", ""},
	"no mode":                  {device(`<channel type='unix'><source path='/var/lib/libvirt/qemu/channel/target/domain-1-v/x'/></channel>`), "char_connect", "", ""},
	"another's monitor":        {device(`<channel type='unix'><source mode='bind' path='/var/lib/libvirt/qemu/domain-1-v/monitor.sock'/></channel>`), "char_files", "", ""},
	"USB over TCP":             {device(`<redirdev bus='usb' type='tcp'><source mode='connect' host='x' service='1'/></redirdev>`), "char_types", "tcp", ""},
	"VNC":                      {device(`<graphics type='vnc' listen='0.0.0.0'/>`), "graphics_listen", "0.0.0.0", ""},
	"SPICE":                    {device(`<graphics type='spice'><listen type='address' address='::'/></graphics>`), "graphics_listen", "::", ""},
	"a network's address":      {device(`<graphics type='spice'><listen type='network' network='lan' address='10.0.0.1'/></graphics>`), "graphics_listen", "lan", ""},
	"VNC socket":               {device(`<graphics type='vnc' socket='/tmp/x'/>`), "char_files", "/tmp/x", ""},
	"SDL":                      {device(`<graphics type='sdl' display=':0' xauth='x'/>`), "elements", "devices/graphics", ""},
	"render node":              {device(`<graphics type='egl-headless'><gl rendernode='/dev/dri/renderD128'/></graphics>`), "elements", "devices/graphics/gl", ""},
	"keyboard of the host":     {device(`<input type='evdev'><source dev='/dev/input/event1'/></input>`), "elements", "devices/input", ""},
	"sound into a file":        {device(`<audio id='1' type='file' path='x'/>`), "elements", "devices/audio", ""},
	"random":                   {device(`<rng model='virtio'><backend model='random'>/dev/sda</backend></rng>`), "elements", "devices/rng/backend", ""},
	"EGD":                      {device(`<rng model='virtio'><backend model='egd' type='tcp'><source mode='connect' host='x' service='1'/></backend></rng>`), "elements", "devices/rng/backend", ""},
	"TPM":                      {device(`<tpm><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>`), "elements", "devices/tpm/backend", ""},
	"TPM's socket":             {device(`<tpm><backend type='external'><source type='unix' mode='connect' path='/run/x'/></backend></tpm>`), "elements", "devices/tpm/backend", ""},
	"NVDIMM":                   {device(`<memory model='nvdimm'><source><path>/dev/dax0</path></source></memory>`), "folders", "/dev", ""},
	"smart card":               {device(`<smartcard mode='host'/>`), "elements", "devices/smartcard", ""},
	"lease":                    {device(`<lease><lockspace>s</lockspace><target path='/x'/></lease>`), "elements", "devices/lease", ""},
}

func pools() ([]Pool, error) {
	return []Pool{{"primary", "netfs", "/mnt/3c5c"}, {"lvm", "logical", "/dev/guests"}, {"scsi", "scsi", "/dev/disk/by-path"},
		{"downloads", "dir", "/root"}, {"all", "dir", "/"}, {"devices", "dir", "/dev"}, {"var", "dir", "/var"}}, nil
}

func TestAccepted(t *testing.T) {
	for name, text := range accepted {
		if err := New(config.Accept{}, pools).Check(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is refused says what was found and how to allow it, and is accepted once that is done.
func TestRefused(t *testing.T) {
	for name, c := range refused {
		all, err := New(config.Accept{}, pools).Judge(c.text)
		if err != nil || len(all) == 0 {
			t.Errorf("%s: %v, %v", name, all, err)
			continue
		}
		r := all[0]
		if i := slices.IndexFunc(all, func(r *Refusal) bool { return r.Key == c.key }); i >= 0 {
			r = all[i]
		}
		if r.Key != c.key || c.allow != "" && r.Allow != c.allow || !strings.Contains(r.Error(), c.word) {
			t.Errorf("%s: %v", name, r)
		}
		if c.key != "elements" {
			continue
		}
		var loose config.Accept
		for _, r := range all {
			loose.Elements = append(loose.Elements, r.Allow)
		}
		if err := New(loose, pools).Check(c.text); err != nil {
			t.Errorf("%s is refused still: %v", name, err)
		}
	}
}

// What two parsers could read in two ways is not read.
func TestUnreadable(t *testing.T) {
	for name, text := range map[string]string{
		"attribute of a namespace": device(`<disk type='file'><source e:file='/etc/shadow' xmlns:e='urn:e'/></disk>`),
		"attribute given twice":    device(`<disk type='file'><source file='/var/lib/libvirt/images/x' file='/etc/shadow'/></disk>`),
		"DOCTYPE":                  `<!DOCTYPE domain [<!ENTITY e '/etc/shadow'>]>` + guest(""),
	} {
		if err := New(config.Accept{}, nil).Check(text); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Storage that is shared can be written by another host, which can put a link there.
func TestLinks(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"outside": "/etc/hostname", "inside": "image", "folder": "/etc"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	policy := New(config.Accept{Folders: []string{dir}, CharFiles: []string{dir + "/*", dir + "/*/console.log"}}, nil)
	for image, ok := range map[string]bool{"image": true, "inside": true, "outside": false, "folder/passwd": false, "folder/new": false} {
		if err := policy.Check(device(`<disk type='file'><source file='` + dir + `/` + image + `'/></disk>`)); (err == nil) != ok {
			t.Errorf("image %s: %v", image, err)
		}
	}
	for file, ok := range map[string]bool{"new.log": true, "outside": false, "folder/console.log": false} {
		if err := policy.Check(device(`<serial><log file='` + dir + `/` + file + `'/></serial>`)); (err == nil) != ok {
			t.Errorf("log %s: %v", file, err)
		}
	}
}

func TestPoolsUnknown(t *testing.T) {
	asked := 0
	policy := New(config.Accept{}, func() ([]Pool, error) { asked++; return nil, errors.New("no answer") })
	if err := policy.Check(accepted["image"]); err != nil || asked != 0 {
		t.Errorf("asked %d times, %v", asked, err)
	}
	if err := policy.Check(accepted["pool's"]); err == nil || !strings.Contains(err.Error(), "no answer") || asked != 1 {
		t.Errorf("asked %d times, %v", asked, err)
	}
}

func TestGraphicsPrefix(t *testing.T) {
	policy := New(config.Accept{GraphicsListen: []string{"192.0.2.0/24", "lan"}}, nil)
	for text, ok := range map[string]bool{
		`<graphics type='vnc' listen='192.0.2.7'/>`:                                                   true,
		`<graphics type='vnc' listen='192.0.3.7'/>`:                                                   false,
		`<graphics type='vnc' listen='0.0.0.0'/>`:                                                     false,
		`<graphics type='spice'><listen type='network' network='lan' address='10.0.0.1'/></graphics>`: true,
	} {
		if err := policy.Check(device(text)); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
