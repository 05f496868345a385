package config

import (
	"reflect"
	"slices"
	"strings"

	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
)

// After is c as a daemon can use it that has been started with another configuration, and the keys
// that then stay as they were until it is started again. They say which host this is, where it is
// found, by what it knows its guests, and what it has given up: what is under way goes by them.
// Descriptors of tunnels are those that the process was started with.
func (c *Config) After(inUse *Config) (now *Config, restart []string) {
	n := *c
	for _, k := range []struct {
		key     string
		is, was *string
	}{
		{"name", &n.Name, &inUse.Name},
		{"listen", &n.Listen, &inUse.Listen},
		{"run_dir", &n.RunDir, &inUse.RunDir},
		{"state_dir", &n.StateDir, &inUse.StateDir},
		{"libvirt_socket", &n.LibvirtSocket, &inUse.LibvirtSocket},
		{"qemu_user", &n.QEMUUser, &inUse.QEMUUser},
		{"qemu_pids", &n.QEMUPIDs, &inUse.QEMUPIDs},
		{"landlock", &n.Landlock, &inUse.Landlock},
		{"telemetry.otlp", &n.Telemetry.OTLP, &inUse.Telemetry.OTLP},
	} {
		if *k.is != *k.was {
			restart = append(restart, k.key)
			*k.is = *k.was
		}
	}
	kept, inherited := inheriting(inUse.Tunnels), inheriting(n.Tunnels)
	if !reflect.DeepEqual(inherited, kept) {
		restart = append(restart, "tunnel")
		others := slices.DeleteFunc(slices.Clone(n.Tunnels), func(t Tunnel) bool {
			return t.inherits() || slices.ContainsFunc(kept, func(k Tunnel) bool { return k.Name == t.Name })
		})
		n.Tunnels, n.policies = append(kept, others...), nil // they were parsed for c's tunnels
	}
	return &n, restart
}

// inheriting are the tunnels of all that have a descriptor of the process.
func inheriting(all []Tunnel) []Tunnel {
	return slices.DeleteFunc(slices.Clone(all), func(t Tunnel) bool { return !t.inherits() })
}

func (t Tunnel) inherits() bool {
	fd := string(spec.FD) + ":"
	return strings.HasPrefix(t.Listen, fd) || strings.HasPrefix(t.To, fd)
}
