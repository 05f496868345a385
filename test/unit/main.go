// Command unit runs a program as systemd would for a service, as far as rights go that a unit takes
// away: capabilities, system calls, new privileges, the umask, core dumps. It is for tests where
// there is no systemd.
//
//	unit internal/packaging/systemd/sluice.service internal/packaging/systemd/sluice-intercept.conf -- sluice serve
//
// Only what the project's own units have is understood.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

func main() {
	fmt.Fprintln(os.Stderr, "unit:", run(os.Args[1:]))
	os.Exit(1)
}

func run(args []string) error {
	end := slices.Index(args, "--")
	if end < 1 || end == len(args)-1 {
		return errors.New("usage: unit UNIT... -- COMMAND")
	}
	settings, err := read(args[:end])
	if err != nil {
		return err
	}
	command := args[end+1:]
	path, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	calls, err := allowed(settings["SystemCallFilter"])
	if err != nil {
		return err
	}
	if err := bound(strings.Fields(strings.Join(settings["CapabilityBoundingSet"], " "))); err != nil {
		return err
	}
	umask, err := strconv.ParseUint(settings["UMask"][0], 8, 9)
	if err != nil {
		return err
	}
	unix.Umask(int(umask))
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return err
	}
	filter := seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: seccomp.Policy{
		DefaultAction: seccomp.ActionErrno, // EPERM
		Syscalls:      []seccomp.SyscallGroup{{Names: calls, Action: seccomp.ActionAllow}},
	}}
	if err := seccomp.LoadFilter(filter); err != nil {
		return err
	}
	return &os.PathError{Op: "exec", Path: path, Err: syscall.Exec(path, command, os.Environ())}
}

// read returns the values of each setting, in their order.
func read(units []string) (map[string][]string, error) {
	settings := make(map[string][]string)
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			if key, value, is := strings.Cut(strings.TrimSpace(line), "="); is && !strings.HasPrefix(key, "#") {
				settings[key] = append(settings[key], value)
			}
		}
	}
	for _, key := range []string{"SystemCallFilter", "CapabilityBoundingSet", "UMask"} {
		if len(settings[key]) == 0 {
			return nil, fmt.Errorf("%v have no %s=", units, key)
		}
	}
	return settings, nil
}

// bound leaves only the named capabilities.
func bound(names []string) error {
	var drop []cap.Value
	next := cap.NewSet()
	for v := cap.Value(0); v < cap.MaxBits(); v++ {
		if !slices.Contains(names, strings.ToUpper(v.String())) {
			drop = append(drop, v)
		} else if err := errors.Join(next.SetFlag(cap.Permitted, true, v), next.SetFlag(cap.Effective, true, v)); err != nil {
			return err
		}
	}
	if err := cap.DropBound(drop...); err != nil {
		return err
	}
	return next.SetProc()
}

// allowed are the system calls that lists of systemd.exec(5) let through, of those that this
// processor has.
func allowed(lists []string) (calls []string, err error) {
	info, err := arch.GetInfo("")
	if err != nil {
		return nil, err
	}
	for _, list := range lists {
		list, deny := strings.CutPrefix(list, "~")
		for name := range strings.FieldsSeq(list) {
			named, err := group(name)
			if err != nil {
				return nil, err
			}
			if deny {
				calls = slices.DeleteFunc(calls, func(c string) bool { return slices.Contains(named, c) })
			} else {
				calls = append(calls, named...)
			}
		}
	}
	slices.Sort(calls)
	calls = slices.DeleteFunc(slices.Compact(calls), func(c string) bool { _, has := info.SyscallNames[c]; return !has })
	return calls, nil
}

// group is what systemd knows a name as: itself, or many.
func group(name string) (calls []string, err error) {
	if !strings.HasPrefix(name, "@") {
		return []string{name}, nil
	}
	out, err := exec.Command("systemd-analyze", "syscall-filter", "--no-pager", name).Output()
	if err != nil {
		return nil, fmt.Errorf("systemd-analyze syscall-filter %s: %w", name, err)
	}
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line == "" || line == name || strings.HasPrefix(line, "#") {
			continue
		}
		more, err := group(line)
		if err != nil {
			return nil, err
		}
		calls = append(calls, more...)
	}
	return calls, nil
}
