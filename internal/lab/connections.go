package lab

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ConnectionsTo returns the local ports of the host's established TCP connections to a port of
// another host, in the order in which they were made.
func (h *Host) ConnectionsTo(ctx context.Context, port int) ([]int, error) {
	// What it says on standard error is about control groups, which hosts have not.
	out, err := h.Command(ctx, "ss", "-tnH", "state", "established", fmt.Sprintf("dport = :%d", port)).Output()
	if err != nil {
		return nil, fmt.Errorf("connections of %s: %w", h.Name, err)
	}
	var ports []int
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line) // queues, local and remote address
		if len(fields) < 4 {
			continue
		}
		local := fields[2]
		port, err := strconv.Atoi(local[strings.LastIndexByte(local, ':')+1:])
		if err != nil {
			return nil, fmt.Errorf("ss on %s: %q: %w", h.Name, line, err)
		}
		ports = append(ports, port)
	}
	return inOrder(ports), nil
}

// inOrder puts local ports of connections to one address in the order in which the kernel gave them:
// one above the other, round and round, a few on each time (__inet_hash_connect in
// net/ipv4/inet_hashtables.c). So the first is behind the widest gap. Inode numbers tell less: each
// processor has its own.
func inOrder(ports []int) []int {
	const ring = 60999 - 32768 + 1 // the default of net.ipv4.ip_local_port_range
	slices.Sort(ports)
	first, widest := 0, -1
	for i, p := range ports {
		before := ports[(i+len(ports)-1)%len(ports)]
		if gap := (p - before + ring) % ring; gap > widest {
			first, widest = i, gap
		}
	}
	return slices.Concat(ports[first:], ports[:first])
}
