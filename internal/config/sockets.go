package config

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// maxSocketPath is what a unix socket's address holds: sun_path's 108 bytes less its NUL (unix(7)).
const maxSocketPath = 107

// maxSession is room for the name of a session's socket beneath the run folder: an id of up to 36
// characters (stream.NewID makes 32) and the longest name in its folder.
const maxSession = len("sessions/") + 36 + len("/libvirt.sock")

// peerSocket is where package proxy puts the socket of a peer.
func peerSocket(runDir, peer string) string {
	return filepath.Join(runDir, "peers", peer, "libvirt.sock")
}

// sockets checks that every socket's path fits into a unix address.
func (c *checker) sockets(cfg *Config) {
	if len(cfg.LibvirtSocket) > maxSocketPath {
		c.fault("libvirt_socket", "is %d bytes long; a unix socket's path may have at most %d", len(cfg.LibvirtSocket), maxSocketPath)
	}
	longest := len(cfg.RunDir) + 1 + maxSession
	for _, name := range slices.Sorted(maps.Keys(cfg.Peers)) {
		if len(name) <= maxPeerName { // a longer one is a fault already
			longest = max(longest, len(peerSocket(cfg.RunDir, name)))
		}
	}
	if longest > maxSocketPath {
		c.fault("run_dir", "%s is too long: a socket beneath it would have a path of %d bytes, and the kernel takes %d; use a shorter one, such as %q",
			strings.TrimSpace(cfg.RunDir), longest, maxSocketPath, DefaultRunDir)
	}
}
