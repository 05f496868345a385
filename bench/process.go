package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc/PID/stat: USER_HZ is 100 everywhere.
const tick = time.Second / 100

// usage is what a program's processes have used.
type usage struct {
	cpu  time.Duration
	peak int64 // resident memory, bytes; each process's most, added up
}

// usageOf adds up the processes of a group: several programs have one for each
// processor, or connection.
func usageOf(group int) (u usage, err error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return u, err
	}
	found := false
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // has ended
		}
		// The name, in brackets, may hold anything.
		f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(f) < 15 || f[2] != strconv.Itoa(group) {
			continue
		}
		found = true
		var ticks time.Duration
		for _, field := range f[11:15] { // utime, stime, and those of children that were waited for
			n, _ := strconv.ParseInt(field, 10, 64)
			ticks += time.Duration(n) * tick
		}
		u.cpu += max(ticks, threadsTime(filepath.Dir(file)))
		u.peak += peak(filepath.Dir(file))
	}
	if !found {
		return u, fmt.Errorf("the relay has ended")
	}
	return u, nil
}

// exited reports whether a child has, and is not waited for yet.
func exited(pid int) bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(text), ") ")
	return strings.HasPrefix(after, "Z")
}

// threadsTime is what the threads that a process has now have used: the same
// as in its stat file, to the nanosecond, unless some have ended.
func threadsTime(proc string) (sum time.Duration) {
	files, _ := filepath.Glob(proc + "/task/*/schedstat")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		var ns int64
		fmt.Sscan(string(text), &ns)
		sum += time.Duration(ns)
	}
	return sum
}

func peak(proc string) int64 {
	text, _ := os.ReadFile(proc + "/status")
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	var kib int64
	fmt.Sscan(after, &kib)
	return kib << 10
}

// listens reports whether somebody listens at a unix socket's path or a TCP
// address's port in the network of a process. Nothing connects to find out.
func listens(pid int, at string) bool {
	if strings.HasPrefix(at, "/") {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/unix", pid))
		for line := range strings.Lines(string(text)) {
			// Num RefCount Protocol Flags Type St Inode Path; 10000 is __SO_ACCEPTCON.
			// HAProxy binds a name of its own, which begins so, and renames it.
			if f := strings.Fields(line); len(f) == 8 && strings.HasPrefix(f[7], at) && f[3] == "00010000" {
				_, err := os.Stat(at)
				return err == nil
			}
		}
		return false
	}
	_, port, _ := strings.Cut(at, ":")
	n, _ := strconv.Atoi(port)
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	for line := range strings.Lines(string(text)) {
		// sl local_address rem_address st; 0A is TCP_LISTEN.
		if f := strings.Fields(line); len(f) > 3 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", n)) && f[3] == "0A" {
			return true
		}
	}
	return false
}
