package virt

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/internal/domainxml"
)

// Capabilities are what libvirt can give a guest with one QEMU and one machine type
// (virConnectGetDomainCapabilities).
type Capabilities struct {
	VCPUs   int
	devices map[string]*capability
	// HostCPU is the CPU that a guest has with mode host-model, as a guest's; empty: none.
	HostCPU string
}

type capability struct {
	none  bool
	enums map[string][]string
}

// Lacks says whether libvirt here says that it has no such thing. What it does not list is not
// known to be lacking.
func (c *Capabilities) Lacks(w domainxml.Wanted) bool {
	d := c.devices[w.Device]
	if d == nil {
		return false
	}
	values := d.enums[w.Enum]
	return d.none || len(values) > 0 && !slices.Contains(values, w.Value)
}

// Capabilities asks for those of a guest's QEMU and machine type. libvirt runs the QEMU for it, so
// that has to be one that guests may have.
func (v *Conn) Capabilities(ctx context.Context, n *domainxml.Needs) (*Capabilities, error) {
	var text string
	err := v.Bound(ctx, func() (err error) {
		text, err = v.ConnectGetDomainCapabilities(optional(n.Emulator), optional(n.Arch), optional(n.Machine), optional(n.Virt), 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	var d struct {
		VCPU struct {
			Max int `xml:"max,attr"`
		} `xml:"vcpu"`
		Modes []struct {
			Name  string `xml:"name,attr"`
			Inner string `xml:",innerxml"`
		} `xml:"cpu>mode"`
		Devices struct {
			All []struct {
				XMLName   xml.Name
				Supported string `xml:"supported,attr"`
				Enums     []struct {
					Name   string   `xml:"name,attr"`
					Values []string `xml:"value"`
				} `xml:"enum"`
			} `xml:",any"`
		} `xml:"devices"`
	}
	if err := xml.Unmarshal([]byte(text), &d); err != nil {
		return nil, fmt.Errorf("read libvirt's domain capabilities: %w", err)
	}
	c := &Capabilities{VCPUs: d.VCPU.Max, devices: make(map[string]*capability)}
	for _, m := range d.Modes {
		if m.Name == "host-model" && strings.Contains(m.Inner, "<model") {
			c.HostCPU = "<cpu mode='custom' match='exact'>" + m.Inner + "</cpu>"
		}
	}
	for _, one := range d.Devices.All {
		of := &capability{none: one.Supported == "no", enums: make(map[string][]string)}
		for _, e := range one.Enums {
			of.enums[e.Name] = e.Values
		}
		c.devices[one.XMLName.Local] = of
	}
	return c, nil
}

// failIncompatible is VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE: the reason comes as an error.
const failIncompatible = 1

// ErrCPU is wrapped by the error of a CPU that this host can't give a guest.
var ErrCPU = errors.New("the CPU is not to be had")

// FitsCPU says whether a guest of these needs can have a CPU here: virConnectCompareHypervisorCPU.
func (v *Conn) FitsCPU(ctx context.Context, n *domainxml.Needs, cpu string) error {
	var result int32
	err := v.Bound(ctx, func() (err error) {
		result, err = v.ConnectCompareHypervisorCPU(optional(n.Emulator), optional(n.Arch), optional(n.Machine), optional(n.Virt), cpu, failIncompatible)
		return err
	})
	var e libvirt.Error
	switch {
	case errors.As(err, &e) && e.Code == uint32(libvirt.ErrCPUIncompatible):
		return fmt.Errorf("%w: %s", ErrCPU, strings.TrimSpace(e.Message))
	case err == nil && result == 0: // VIR_CPU_COMPARE_INCOMPATIBLE
		return ErrCPU
	}
	return err
}

// optional is a text of which libvirt takes an absent one for its own choice.
func optional(text string) libvirt.OptString {
	if text == "" {
		return nil
	}
	return libvirt.OptString{text}
}
