package check

import (
	"maps"
	"slices"
	"strings"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/tlsconf"
)

// patterns looks whether other hosts that have the same patterns know this one by them: a fleet has
// one file.
func (h *Host) patterns(l *control.Findings) {
	const patterns = "patterns"
	all := slices.Sorted(maps.Keys(h.Config.Patterns()))
	c := h.credentials()
	if len(all) == 0 || c == nil {
		return
	}
	words := strings.Join(all, ", ")
	server, client := c.Leaves()
	own := ""
	for _, leaf := range append(slices.Clone(server), client...) {
		id, err := tlsconf.IdentityOf(leaf)
		if err != nil {
			return // told of the certificates
		}
		p, err := h.Peers.Identify(id)
		switch {
		case err != nil:
			l.Warn(patterns, "own-name", "issue it with this host's name alone", "%s: peers that have the same patterns (%s) refuse it: %v", c.File(leaf), words, err)
			return
		case p == nil:
			l.Warn(patterns, "own-name", "issue it with such a name, or give this host a table of its own on the others", "%s: none of its DNS names (%s) is one that peers with the same patterns (%s) know this host by", c.File(leaf), id, words)
			return
		case own != "" && own != p.Name:
			l.Warn(patterns, "own-name", "issue both with the same name", "peers with the same patterns (%s) know this host as %s where they connect, and as %s where it does", words, own, p.Name)
			return
		}
		own = p.Name
	}
	l.OK(patterns, "%s; peers that have the same know this host as %s", words, own)
}
