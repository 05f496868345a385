package lab

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// SessionsFolder is where a host's sluice keeps what belongs to one session.
const SessionsFolder = "/run/sluice/sessions"

// The ports that libvirt's QEMU driver takes for migrations and NBD (migration_port_min and _max in
// qemu.conf).
const firstMigrationPort, lastMigrationPort = 49152, 49215

// Leftovers says, one line for each, what a host holds that no host without guests and without
// migrations has: QEMU processes, domains that libvirt knows, what is in SessionsFolder, QEMU's
// sockets, and TCP sockets on the migration ports. What belongs to the guests named in except is
// left out. It is what is there at this moment; [Host.WaitClean] gives things time to go.
func (h *Host) Leftovers(ctx context.Context, except ...string) ([]string, error) {
	var left []string
	note := func(format string, args ...any) { left = append(left, fmt.Sprintf(format, args...)) }

	domains, err := h.Virsh(ctx, "list", "--all", "--uuid", "--name")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(domains) {
		uuid, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name = strings.TrimSpace(name); name == "" || slices.Contains(except, name) {
			continue
		}
		state, err := h.Virsh(ctx, "domstate", "--reason", uuid)
		if err != nil {
			state = "gone since"
		}
		note("domain %s: %s", name, state)
	}

	pids, err := h.Processes(qemuProgram)
	if err != nil {
		return nil, err
	}
	for _, pid := range pids {
		if name := guestOf(pid); name != "" && !slices.Contains(except, name) {
			note("QEMU process %d of guest %s", pid, name)
		}
	}

	if err := h.walk(SessionsFolder, func(path string, _ fs.DirEntry) { note("session file %s", path) }); err != nil {
		return nil, err
	}
	err = h.walk("/var/lib/libvirt/qemu", func(path string, d fs.DirEntry) {
		mine := slices.ContainsFunc(except, func(name string) bool { return strings.Contains(path, "-"+shortName(name)+"/") })
		if d.Type() == fs.ModeSocket && !mine {
			note("socket %s", path)
		}
	})
	if err != nil {
		return nil, err
	}
	for _, table := range []string{"tcp", "tcp6"} {
		sockets, err := h.migrationSockets(table)
		if err != nil {
			return nil, err
		}
		left = append(left, sockets...)
	}
	return left, nil
}

// shortName is a guest's name as libvirt has it in the names of folders: its first 20 characters
// (virDomainDefGetShortName).
func shortName(name string) string {
	runes := []rune(name)
	return string(runes[:min(len(runes), 20)])
}

// WaitClean waits until Leftovers finds nothing. When ctx ends before that, it returns an error
// that says what is left.
func (h *Host) WaitClean(ctx context.Context, except ...string) error {
	var left []string
	err := poll(ctx, "the host to be clean", 50*time.Millisecond, func() (bool, error) {
		// With the caller's deadline it would fail, at the end, over a virsh cut short instead of
		// saying what is left.
		now, err := h.Leftovers(context.WithoutCancel(ctx), except...)
		left = now
		return len(left) == 0, err
	})
	if len(left) > 0 {
		return errors.Join(err, fmt.Errorf("left on %s: %s", h.Name, strings.Join(left, "; ")))
	}
	return err
}

// walk calls f for each entry below a folder of the host, with its path there.
func (h *Host) walk(folder string, f func(path string, d fs.DirEntry)) error {
	root := h.Path(folder)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil // gone while walking, or there never was such a folder
		}
		if err == nil && path != root {
			f(folder+strings.TrimPrefix(path, root), d)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	return nil
}

// RemoveFiles removes the files in a folder of the host and below, and leaves the folders.
func (h *Host) RemoveFiles(folder string) error {
	var errs []error
	err := h.walk(folder, func(path string, d fs.DirEntry) {
		if !d.IsDir() {
			errs = append(errs, os.Remove(h.Path(path)))
		}
	})
	return errors.Join(append(errs, err)...)
}

// migrationSockets reads a table of /proc/net (proc(5)): after a number, each line has local and
// remote address as HEX:PORT, then the state. Connections in TIME_WAIT (06) belong to nobody any
// more.
func (h *Host) migrationSockets(table string) ([]string, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", h.pid, table))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.Name, err)
	}
	const timeWait, listen = "06", "0A"
	var found []string
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[3] == timeWait {
			continue
		}
		for _, end := range fields[1:3] {
			_, hexPort, _ := strings.Cut(end, ":")
			b, err := hex.DecodeString(hexPort)
			if err != nil || len(b) != 2 {
				continue
			}
			if port := binary.BigEndian.Uint16(b); port >= firstMigrationPort && port <= lastMigrationPort {
				what := "connection"
				if fields[3] == listen {
					what = "listener"
				}
				found = append(found, fmt.Sprintf("TCP %s on migration port %d", what, port))
			}
		}
	}
	return found, nil
}

const qemuProgram = "qemu-system-x86_64"

// QEMU returns the pids of the QEMU processes of the guest of that name. It does not ask libvirtd.
func (h *Host) QEMU(guest string) ([]int, error) {
	pids, err := h.Processes(qemuProgram)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(pids, func(pid int) bool { return guestOf(pid) != guest }), nil
}

// guestOf returns the name of the guest that a QEMU process runs, as libvirt passes it: -name
// guest=NAME,debug-threads=on. It is empty for the QEMU that libvirt starts to ask it what it can
// do.
func guestOf(pid int) string {
	argv := commandLine(pid)
	for i, arg := range argv {
		if name, ok := strings.CutPrefix(arg, "guest="); ok && i > 0 && argv[i-1] == "-name" {
			name, _, _ = strings.Cut(name, ",")
			return name
		}
	}
	return ""
}
