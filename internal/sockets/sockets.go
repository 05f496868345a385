// Package sockets reads the kernel's tables of TCP sockets (proc_pid_net(5)): whose process is at
// the other end of a connection within this host, and who listens at a port.
//
// github.com/prometheus/procfs v0.22, which is linked anyway, reads these tables, too, and would save
// no code: its addresses have to be made netip's, and IPv4 of those that are mapped. It has them in
// the byte order of little-endian machines alone, keeps the whole table where one line is wanted,
// and takes a descriptor that may not be looked at for one that is no socket, by which a process
// could have a socket and not be found to.
package sockets

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// tables are of IPv4 and of IPv6, which has those of IPv4 that are mapped
// (RFC 4291, section 2.5.5.2) as well.
var tables = []string{"/proc/net/tcp", "/proc/net/tcp6"}

// States of a connection in the tables.
const (
	established = "01"
	listening   = "0A"
)

// socket is a line of a table. Its columns are the line's number, the two addresses, the state, two
// pairs and one number, the uid, another number, and the inode.
type socket struct {
	local, remote netip.AddrPort
	state         string
	uid           int
	inode         string
}

// Owner is whose process has the socket at local that is connected to remote, and the socket's
// inode, by which a process's descriptors are named.
func Owner(local, remote netip.AddrPort) (uid int, inode string, err error) {
	local, remote = unmap(local), unmap(remote)
	all, err := read(func(s socket) bool { return s.local == local && s.remote == remote })
	switch {
	case err != nil:
		return -1, "", err
	case len(all) == 0:
		return -1, "", fmt.Errorf("%v is not connected from this host", local)
	// A socket that its process has closed shows as root's, whosever it was.
	case all[0].state != established || all[0].inode == "0":
		return -1, "", fmt.Errorf("%v was closed by its process already, so no one can tell whose it was", local)
	}
	return all[0].uid, all[0].inode, nil
}

// Listener is a socket that listens.
type Listener struct {
	Addr netip.Addr // unspecified: every address of its kind
	UID  int
	Mine bool // it is this process's

	Inode string // by which a process's descriptors are named
}

// Listeners are all that listen at the port.
func Listeners(port uint16) ([]Listener, error) {
	all, err := read(func(s socket) bool { return s.state == listening && s.local.Port() == port })
	if err != nil || len(all) == 0 {
		return nil, err
	}
	mine, err := Inodes("self")
	if err != nil {
		return nil, err
	}
	var found []Listener
	for _, s := range all {
		found = append(found, Listener{s.local.Addr(), s.uid, mine[s.inode], s.inode})
	}
	return found, nil
}

// read returns the sockets that are wanted.
func read(want func(socket) bool) ([]socket, error) {
	var all []socket
	for _, table := range tables {
		f, err := os.Open(table)
		if os.IsNotExist(err) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(f)
		lines.Scan() // the heading
		for lines.Scan() {
			if s, ok := parse(lines.Text()); ok && want(s) {
				all = append(all, s)
			}
		}
		f.Close()
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("read %s: %w", table, err)
		}
	}
	return all, nil
}

func parse(line string) (s socket, ok bool) {
	col := strings.Fields(line)
	if len(col) < 10 {
		return s, false
	}
	var okLocal, okRemote bool
	s.local, okLocal = address(col[1])
	s.remote, okRemote = address(col[2])
	uid, err := strconv.Atoi(col[7])
	s.state, s.uid, s.inode = col[3], uid, col[9]
	return s, okLocal && okRemote && err == nil
}

// address reads an address as the tables have it, in hexadecimal: the
// address's bytes as numbers of 32 bits of this machine's, and the port.
func address(text string) (a netip.AddrPort, ok bool) {
	host, port, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(host)
	p, perr := strconv.ParseUint(port, 16, 16)
	if err != nil || perr != nil || len(b)%4 != 0 {
		return a, false
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	ip, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(ip.Unmap(), uint16(p)), ok
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// Inodes are those of the sockets of a process: a pid, or "self".
func Inodes(pid string) (map[string]bool, error) {
	dir := "/proc/" + pid + "/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	own := make(map[string]bool)
	for _, e := range entries {
		to, err := os.Readlink(dir + "/" + e.Name())
		if errors.Is(err, fs.ErrPermission) {
			return nil, err
		}
		if inode, is := strings.CutPrefix(to, "socket:["); err == nil && is {
			own[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return own, nil
}
