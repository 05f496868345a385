package config

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// maxSocketPath is what a unix socket's address holds: sun_path's 108 bytes
// less its NUL (unix(7)).
const maxSocketPath = 107

// maxSession is room for a session's own file name: an id of up to 36
// characters (a UUID's length) and the longest socket name beneath it.
const maxSession = len("sessions/") + 36 + len("/libvirt.sock")

// ControlSocket is where the command line reaches the daemon.
func (c *Config) ControlSocket() string { return filepath.Join(c.RunDir, "control.sock") }

// PeerSocket is where a stock libvirt client reaches a peer's libvirtd.
func (c *Config) PeerSocket(peer string) string {
	return filepath.Join(c.RunDir, "peers", peer, "libvirt.sock")
}

// SessionDir holds the sockets of one session.
func (c *Config) SessionDir(id string) string { return filepath.Join(c.RunDir, "sessions", id) }

// sockets checks that every socket's path fits into a unix address.
func (c *checker) sockets(cfg *Config) {
	if len(cfg.LibvirtSocket) > maxSocketPath {
		c.fault("libvirt_socket", "is %d bytes long; a unix socket's path has room for %d", len(cfg.LibvirtSocket), maxSocketPath)
	}
	longest := len(cfg.RunDir) + 1 + maxSession
	for _, name := range slices.Sorted(maps.Keys(cfg.Peers)) {
		if len(name) <= maxPeerName { // a longer one is a fault already
			longest = max(longest, len(cfg.PeerSocket(name)))
		}
	}
	if longest > maxSocketPath {
		c.fault("run_dir", "%s is too long: a socket beneath it would have a path of %d bytes, and the kernel takes %d; use a shorter one, such as %q",
			strings.TrimSpace(cfg.RunDir), longest, maxSocketPath, DefaultRunDir)
	}
}
