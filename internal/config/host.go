package config

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Defaults of the host's own keys.
const (
	DefaultPort   = "16514" // libvirt's own TLS port
	DefaultListen = ":" + DefaultPort
	DefaultRunDir = "/run/sluice"

	// StateOff is the StateDir of a host that keeps no history.
	StateOff = "off"
	// defaultStateDir goes with DefaultRunDir: another daemon on this host has no part in its history.
	defaultStateDir = "/var/lib/sluice"

	defaultQEMUPIDs = "/run/libvirt/qemu" // libvirt's, as the system's daemon
)

// host checks and completes what this host is and where it listens.
func (c *checker) host(cfg *Config) {
	if cfg.Name == "" {
		name, err := os.Hostname()
		if err != nil || !printable(name) {
			name = "localhost"
		}
		cfg.Name = name
	}
	if !printable(cfg.Name) || len(cfg.Name) > 255 {
		c.fault("name", "%q must be up to 255 printable characters", cfg.Name)
	}

	if cfg.Listen == "" {
		cfg.Listen = DefaultListen
	}
	host, port, err := net.SplitHostPort(cfg.Listen)
	switch {
	case err != nil:
		c.fault("listen", "%q is not HOST:PORT; write %q for every address of this host, or for example \"192.0.2.1:16514\" or \"[2001:db8::1]:16514\"", cfg.Listen, DefaultListen)
	case host != "" && !validHost(host):
		c.fault("listen", "%q is neither an IP address nor a host name", host)
	case !validPort(port) && port != "0":
		c.fault("listen", "port %q must be a number from 1 to 65535 (or 0, to let the kernel choose one)", port)
	}

	c.metrics(cfg)
	c.web(cfg)
	c.telemetry(cfg.Telemetry)

	if cfg.RunDir == "" {
		cfg.RunDir = DefaultRunDir
	}
	switch cfg.RunDir = c.path("run_dir", cfg.RunDir); {
	case cfg.RunDir == "/":
		c.fault("run_dir", "must be a folder of sluice's own, such as %q", DefaultRunDir)
	case strings.Trim(cfg.RunDir, safePath) != "":
		// libvirt's URIs and QEMU's options are made of it, and both have
		// characters that would end it early.
		c.fault("run_dir", "%q may contain only letters, digits and / . _ -, since it becomes part of libvirt's URIs", cfg.RunDir)
	}

	switch {
	case cfg.StateDir == StateOff:
		cfg.StateDir = ""
	case cfg.StateDir == "" && cfg.RunDir == DefaultRunDir:
		cfg.StateDir = defaultStateDir
	default:
		if cfg.StateDir = c.path("state_dir", cfg.StateDir); cfg.StateDir == "/" || cfg.StateDir != "" && cfg.StateDir == cfg.RunDir {
			c.fault("state_dir", "must be a folder of sluice's own, such as %q, or %q", defaultStateDir, StateOff)
		}
	}

	cfg.LibvirtSocket = c.path("libvirt_socket", cfg.LibvirtSocket)
	if cfg.QEMUPIDs == "" {
		cfg.QEMUPIDs = defaultQEMUPIDs
	}
	cfg.QEMUPIDs = c.path("qemu_pids", cfg.QEMUPIDs)
}

const safePath = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-"

// path is p cleaned; a fault if it is relative, since a daemon's working
// folder is nobody's intention.
func (c *checker) path(key, p string) string {
	if p != "" && (!filepath.IsAbs(p) || !printable(p)) {
		c.fault(key, "%q must be an absolute path, from /", p)
	}
	if p == "" {
		return ""
	}
	return filepath.Clean(p)
}

func printable(s string) bool {
	for _, r := range s {
		if !strconv.IsPrint(r) {
			return false
		}
	}
	return s != ""
}

// validHost takes IP addresses and host names (RFC 1123, and underscores, which sites use).
func validHost(h string) bool {
	if _, err := netip.ParseAddr(h); err == nil {
		return true
	}
	if len(h) == 0 || len(h) > 253 {
		return false
	}
	for _, label := range strings.Split(strings.TrimSuffix(h, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return false
		}
	}
	return true
}

func validPort(p string) bool {
	n, err := strconv.ParseUint(p, 10, 16)
	return err == nil && n > 0
}
