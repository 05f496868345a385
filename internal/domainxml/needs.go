package domainxml

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// Needs are what a guest has of its host, by its description: what another host must have before
// the guest can go there, and what cannot go along.
type Needs struct {
	Guest
	Virt, Emulator string // such as kvm, and the path of QEMU
	Arch, Machine  string
	VCPUs          int

	Memory    uint64   // bytes, all that it may come to have
	HugePages []uint64 // sizes in bytes; one of 0 is the host's default
	Huge      bool

	Disks    []NeededDisk
	Networks []string // of libvirt's
	Links    []string // bridges and other interfaces of the host's
	Others   []string // what else interfaces are connected to: types, such as vhostuser
	Secrets  []Secret

	Loader, Template, NVRAM string // paths of firmware, and of its variables; empty: none, or libvirt's choice

	// Devices have the values that libvirt's domain capabilities list (see Wants).
	Devices []Wanted
	Stuck   []Stuck
}

// NeededDisk is one of a guest's disks, drives among them. Empty drives are not.
type NeededDisk struct {
	Target, Device string // such as vda, and disk, cdrom or floppy
	Kind           string // file, block, network, volume
	Path           string // of a file or device
	Pool, Volume   string
	Format         string
	Optional       bool   // libvirt goes on without it (startupPolicy)
	DataFile       string // path of the file that the data lies in, where the image is only its map
}

// Secret is one of libvirt's that a disk or TPM needs.
type Secret struct {
	UUID, Usage, Type string // by its UUID, or by its usage
}

// Wanted is a value that the host's QEMU has to support, by libvirt's domain capabilities.
type Wanted struct{ Device, Enum, Value string }

// Stuck is a device that does not go along.
type Stuck struct{ What, Do string }

// ReadNeeds reads a description.
func ReadNeeds(description string) (*Needs, error) {
	guest, err := Read(description)
	if err != nil {
		return nil, err
	}
	if err := Bounded(description); err != nil {
		return nil, err
	}
	var d needsXML
	if err := xml.Unmarshal([]byte(description), &d); err != nil {
		return nil, err
	}
	n := &Needs{
		Guest: guest, Virt: d.Type, Emulator: d.Devices.Emulator, Arch: d.OS.Type.Arch, Machine: d.OS.Type.Machine, VCPUs: d.VCPUs,
		Loader: strings.TrimSpace(d.OS.Loader.Path), Template: d.OS.NVRAM.Template, NVRAM: strings.TrimSpace(d.OS.NVRAM.Path),
	}
	if n.Memory, err = bytesOf(d.Memory.Unit, d.Memory.N); err != nil {
		return nil, fmt.Errorf("the guest's <memory>: %w", err)
	}
	if h := d.Backing.HugePages; h != nil {
		n.Huge = true
		for _, p := range h.Pages {
			size, err := bytesOf(p.Unit, p.Size)
			if err != nil {
				return nil, fmt.Errorf("the guest's huge pages: %w", err)
			}
			n.HugePages = append(n.HugePages, size)
		}
		if len(h.Pages) == 0 {
			n.HugePages = []uint64{0}
		}
	}
	n.devices(&d.Devices)
	n.stuck(&d.Devices)
	return n, nil
}

// bytesOf reads a size as libvirt writes it.
func bytesOf(unit string, n uint64) (uint64, error) {
	shift, known := map[string]int{"": 10, "KiB": 10, "MiB": 20, "GiB": 30, "b": 0, "bytes": 0}[unit]
	if !known {
		return 0, fmt.Errorf("%.20q is no unit that libvirt writes", unit)
	}
	if n > 1<<52>>shift {
		return 0, fmt.Errorf("%d %s are more than a host has", n, unit)
	}
	return n << shift, nil
}

func (n *Needs) devices(d *devicesXML) {
	want := func(device, enum, value string) {
		if value != "" {
			n.Devices = append(n.Devices, Wanted{device, enum, value})
		}
	}
	for _, one := range d.Disks {
		want("disk", "bus", one.Target.Bus)
		n.disk(one)
	}
	for _, i := range d.Interfaces {
		switch {
		case i.Source.Network != "":
			n.Networks = append(n.Networks, i.Source.Network)
		case i.Source.Bridge != "":
			n.Links = append(n.Links, i.Source.Bridge)
		case i.Type == "direct" && i.Source.Dev != "":
			n.Links = append(n.Links, i.Source.Dev)
		case i.Type == "vhostuser" || i.Type == "vdpa" || i.Type == "internal" || i.Type == "vds":
			n.Others = append(n.Others, i.Type)
		}
	}
	for _, g := range d.Graphics {
		want("graphics", "type", g.Type)
	}
	for _, v := range d.Videos {
		want("video", "modelType", v.Model.Type)
	}
	for _, r := range d.RNGs {
		want("rng", "backendModel", r.Backend.Model)
	}
	for _, f := range d.Filesystems {
		want("filesystem", "driverType", f.Driver.Type)
	}
	for _, t := range d.TPMs {
		want("tpm", "model", t.Model)
		want("tpm", "backendModel", t.Backend.Type)
		if s := t.Backend.Encryption.Secret; s != "" {
			n.Secrets = append(n.Secrets, Secret{UUID: s})
		}
	}
}

func (n *Needs) disk(d diskXML) {
	for _, s := range []secretXML{d.Source.Auth.Secret, d.Auth.Secret, d.Source.Encryption.Secret, d.Encryption.Secret} {
		if s.UUID != "" || s.Usage != "" {
			n.Secrets = append(n.Secrets, Secret(s))
		}
	}
	one := NeededDisk{
		Target: d.Target.Dev, Device: d.Device, Kind: d.Type, Path: d.Source.File, Pool: d.Source.Pool, Volume: d.Source.Volume,
		Format: d.Driver.Type, Optional: d.Source.Policy == "optional" || d.Source.Policy == "requisite",
		DataFile: d.Source.DataStore.Source.File,
	}
	if one.Kind == "" {
		one.Kind = "file"
	}
	if one.Path == "" {
		one.Path = d.Source.Dev
	}
	if one.Path == "" && one.Pool == "" && d.Source.Protocol == "" {
		return
	}
	n.Disks = append(n.Disks, one)
}

// stuck notes what belongs to the host that the guest is on. Which of these libvirt refuses depends
// on its version, and on whether QEMU can migrate the device.
func (n *Needs) stuck(d *devicesXML) {
	add := func(do, format string, args ...any) {
		n.Stuck = append(n.Stuck, Stuck{What: fmt.Sprintf(format, args...), Do: do})
	}
	for _, h := range d.HostDevs {
		if h.Type != "mdev" && h.Type != "pci" && h.Type != "usb" && h.Type != "scsi" {
			continue
		}
		add("detach it before migrating, and attach the other host's afterwards (virsh detach-device)", "a host device (%s): it is this host's own", h.Type)
	}
	for _, i := range d.Interfaces {
		if i.Type == "hostdev" {
			add("detach it before migrating (virsh detach-interface), or give the guest a virtio interface beside it (teaming)", "a network interface that is a device of this host's (hostdev)")
		}
	}
	for _, s := range d.Shmems {
		if s.Role != "master" {
			add("detach it before migrating (virsh detach-device), or give it role='master'", "shared memory (%s) that the other host does not have", s.Name)
		}
	}
	for _, f := range d.Filesystems {
		switch f.Driver.Type {
		case "virtiofs":
			add("unmount it in the guest and detach it (virsh detach-device); libvirt 10.0 and newer migrate it where virtiofsd keeps its state", "a folder shared by virtiofs (%s)", f.Target.Dir)
		default:
			add("unmount it in the guest and shut that off to remove it: QEMU does not migrate a mounted 9p folder", "a folder shared by 9p (%s)", f.Target.Dir)
		}
	}
	for _, t := range d.TPMs {
		if t.Backend.Type == "passthrough" {
			add("give the guest an emulated TPM in its place", "this host's own TPM (passthrough)")
		}
	}
}

type (
	needsXML struct {
		Type   string `xml:"type,attr"`
		Memory struct {
			Unit string `xml:"unit,attr"`
			N    uint64 `xml:",chardata"`
		} `xml:"memory"`
		VCPUs   int `xml:"vcpu"`
		Backing struct {
			HugePages *struct {
				Pages []struct {
					Size uint64 `xml:"size,attr"`
					Unit string `xml:"unit,attr"`
				} `xml:"page"`
			} `xml:"hugepages"`
		} `xml:"memoryBacking"`
		OS struct {
			Type struct {
				Arch    string `xml:"arch,attr"`
				Machine string `xml:"machine,attr"`
			} `xml:"type"`
			Loader struct {
				Path string `xml:",chardata"`
			} `xml:"loader"`
			NVRAM struct {
				Template string `xml:"template,attr"`
				Path     string `xml:",chardata"`
			} `xml:"nvram"`
		} `xml:"os"`
		Devices devicesXML `xml:"devices"`
	}
	devicesXML struct {
		Emulator   string    `xml:"emulator"`
		Disks      []diskXML `xml:"disk"`
		Interfaces []struct {
			Type   string `xml:"type,attr"`
			Source struct {
				Network string `xml:"network,attr"`
				Bridge  string `xml:"bridge,attr"`
				Dev     string `xml:"dev,attr"`
			} `xml:"source"`
		} `xml:"interface"`
		Graphics []struct {
			Type string `xml:"type,attr"`
		} `xml:"graphics"`
		Videos []struct {
			Model struct {
				Type string `xml:"type,attr"`
			} `xml:"model"`
		} `xml:"video"`
		RNGs []struct {
			Backend struct {
				Model string `xml:"model,attr"`
			} `xml:"backend"`
		} `xml:"rng"`
		Filesystems []struct {
			Driver struct {
				Type string `xml:"type,attr"`
			} `xml:"driver"`
			Target struct {
				Dir string `xml:"dir,attr"`
			} `xml:"target"`
		} `xml:"filesystem"`
		TPMs []struct {
			Model   string `xml:"model,attr"`
			Backend struct {
				Type       string `xml:"type,attr"`
				Encryption struct {
					Secret string `xml:"secret,attr"`
				} `xml:"encryption"`
			} `xml:"backend"`
		} `xml:"tpm"`
		HostDevs []struct {
			Type string `xml:"type,attr"`
		} `xml:"hostdev"`
		Shmems []struct {
			Name string `xml:"name,attr"`
			Role string `xml:"role,attr"`
		} `xml:"shmem"`
	}
	diskXML struct {
		Type   string `xml:"type,attr"`
		Device string `xml:"device,attr"`
		Source struct {
			File       string  `xml:"file,attr"`
			Dev        string  `xml:"dev,attr"`
			Protocol   string  `xml:"protocol,attr"`
			Pool       string  `xml:"pool,attr"`
			Volume     string  `xml:"volume,attr"`
			Policy     string  `xml:"startupPolicy,attr"`
			Auth       authXML `xml:"auth"`
			Encryption authXML `xml:"encryption"`
			DataStore  struct {
				Source struct {
					File string `xml:"file,attr"`
				} `xml:"source"`
			} `xml:"dataStore"` // libvirt 10.10 and later
		} `xml:"source"`
		Driver struct {
			Type string `xml:"type,attr"`
		} `xml:"driver"`
		Target struct {
			Dev string `xml:"dev,attr"`
			Bus string `xml:"bus,attr"`
		} `xml:"target"`
		Auth       authXML `xml:"auth"`
		Encryption authXML `xml:"encryption"`
	}
	authXML struct {
		Secret secretXML `xml:"secret"`
	}
	secretXML struct {
		UUID  string `xml:"uuid,attr"`
		Usage string `xml:"usage,attr"`
		Type  string `xml:"type,attr"`
	}
)

// CPU is the <cpu> element of a description, as text; empty where there is none. One that says
// nothing of its model is as good as none.
func CPU(description string) (text, mode string, err error) {
	if err := Bounded(description); err != nil {
		return "", "", err
	}
	var d struct {
		CPU *struct {
			Attrs []xml.Attr `xml:",any,attr"`
			Inner string     `xml:",innerxml"`
		} `xml:"cpu"`
	}
	if err := xml.Unmarshal([]byte(description), &d); err != nil || d.CPU == nil {
		return "", "", err
	}
	var b strings.Builder
	b.WriteString("<cpu")
	for _, a := range d.CPU.Attrs {
		if a.Name.Local == "mode" {
			mode = a.Value
		}
		fmt.Fprintf(&b, " %s='", a.Name.Local)
		xml.EscapeText(&b, []byte(a.Value)) // of a Builder: never an error
		b.WriteString("'")
	}
	b.WriteString(">" + d.CPU.Inner + "</cpu>")
	return b.String(), mode, nil
}
