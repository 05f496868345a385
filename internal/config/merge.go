package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// merge adds what the next file has to what is known of those before. A key may stand in any file,
// but in one alone, and so may each table of a peer or of clients: what is said of one host is said
// in one place. Tunnels are counted through all files.
func (c *checker) merge(file *lines, wrong [][]string) {
	shift := c.tunnelCount()
	for _, key := range wrong {
		c.wrong = append(c.wrong, shiftTunnel(key, shift))
	}
	for _, name := range slices.Sorted(maps.Keys(file.at)) {
		p := file.at[name]
		key := shiftTunnel(p.key, shift)
		name = strings.ToLower(join(key))
		before, twice := c.lines.at[name]
		if !twice {
			c.lines.at[name] = p
			continue
		}
		if len(key) < 2 || !isOf(key[0]) {
			twice = p.value
		} else {
			twice = len(key) == 2 && before.key[1] == key[1]
		}
		if twice {
			c.faults = append(c.faults, &Fault{File: p.file, Line: p.line, Key: join(key), Reason: fmt.Sprintf(
				"is in %s:%d already: each key, and each table of a peer or of clients, may be in one file only", before.file, before.line)})
		}
	}
}

// isOf says whether a table is one of tables that must each be whole in one file.
func isOf(table string) bool {
	return strings.EqualFold(table, "peers") || strings.EqualFold(table, "clients")
}

// tunnelCount is how many [[tunnel]]s there are so far.
func (c *checker) tunnelCount() (n int) {
	for {
		if _, is := c.lines.at["tunnel."+strconv.Itoa(n)]; !is {
			return n
		}
		n++
	}
}

// shiftTunnel is the key of a tunnel, tunnel.N.…, where there are n tunnels before.
func shiftTunnel(key []string, n int) []string {
	if len(key) < 2 || !strings.EqualFold(key[0], "tunnel") {
		return key
	}
	i, err := strconv.Atoi(key[1])
	if err != nil {
		return key
	}
	key = slices.Clone(key)
	key[1] = strconv.Itoa(i + n)
	return key
}
