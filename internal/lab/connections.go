package lab

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ConnectionsTo returns the local ports of the host's established TCP connections to a port of
// other hosts, in the order in which they were made.
func (h *Host) ConnectionsTo(ctx context.Context, port int) ([]int, error) {
	// What it says on standard error is about control groups, which hosts have not.
	out, err := h.Command(ctx, "ss", "-tneH", "state", "established", fmt.Sprintf("dport = :%d", port)).Output()
	if err != nil {
		return nil, fmt.Errorf("connections of %s: %w", h.Name, err)
	}
	type connection struct{ port, inode int }
	var all []connection
	for line := range strings.Lines(string(out)) {
		var c connection
		fields := strings.Fields(line) // queues, local and remote address, then NAME:VALUE
		if len(fields) < 4 {
			continue
		}
		local := fields[2]
		c.port, err = strconv.Atoi(local[strings.LastIndexByte(local, ':')+1:])
		if err != nil {
			return nil, fmt.Errorf("ss on %s: %q: %w", h.Name, line, err)
		}
		for _, f := range fields[4:] {
			if ino, ok := strings.CutPrefix(f, "ino:"); ok {
				c.inode, _ = strconv.Atoi(ino) // 0: nobody has it open any more
			}
		}
		all = append(all, c)
	}
	// The kernel numbers sockets as they are made.
	slices.SortFunc(all, func(a, b connection) int { return cmp.Compare(a.inode, b.inode) })
	var ports []int
	for _, c := range all {
		ports = append(ports, c.port)
	}
	return ports, nil
}
