package lab

import (
	"crypto/rand"
	"fmt"
	"os"
)

// nvramSize is that of OVMF's variables, in bytes.
const nvramSize = 528 << 10

// NVRAMPath returns the path, on either host, of the flash of variables of a guest that has one.
func (g *Guest) NVRAMPath() string { return "/var/lib/libvirt/qemu/nvram/" + g.Name + "_VARS.fd" }

// nvramTemplate is what libvirt makes the flash from where there is none. Each host has another one,
// so that variables that the guest did not bring show.
func (g *Guest) nvramTemplate() string { return "/var/lib/libvirt/images/" + g.Name + "_VARS.template" }

func (g *Guest) writeNVRAM(h *Host) error {
	if !g.Spec.NVRAM {
		return nil
	}
	variables := make([]byte, nvramSize)
	rand.Read(variables)
	if err := os.WriteFile(h.Path(g.nvramTemplate()), variables, 0o644); err != nil {
		return fmt.Errorf("guest %s: %w", g.Name, err)
	}
	if err := os.Remove(h.Path(g.NVRAMPath())); err != nil && !os.IsNotExist(err) { // of a guest of the same name
		return fmt.Errorf("guest %s: %w", g.Name, err)
	}
	return nil
}
