package config

import "reflect"

// After is c as a daemon can use it that has been started with another configuration, and the keys
// that then stay as they were until it is started again. They say which host this is, where it is
// found, by what it knows its guests, and what it has given up: what is under way goes by them. So
// do tunnels by theirs.
func (c *Config) After(inUse *Config) (now *Config, restart []string) {
	n := *c
	for _, k := range []struct {
		key     string
		is, was *string
	}{
		{"name", &n.Name, &inUse.Name},
		{"listen", &n.Listen, &inUse.Listen},
		{"run_dir", &n.RunDir, &inUse.RunDir},
		{"libvirt_socket", &n.LibvirtSocket, &inUse.LibvirtSocket},
		{"qemu_user", &n.QEMUUser, &inUse.QEMUUser},
		{"qemu_pids", &n.QEMUPIDs, &inUse.QEMUPIDs},
		{"landlock", &n.Landlock, &inUse.Landlock},
	} {
		if *k.is != *k.was {
			restart = append(restart, k.key)
			*k.is = *k.was
		}
	}
	if !reflect.DeepEqual(n.Tunnels, inUse.Tunnels) {
		restart = append(restart, "tunnel")
		n.Tunnels, n.policies = inUse.Tunnels, nil // they were parsed for c's tunnels
	}
	return &n, restart
}
