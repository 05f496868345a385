package bench

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is where a run was.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	System string `json:"system"`
	Go     string `json:"go"`
	Load   string `json:"load"`                            // the load averages when it began: 1, 5 and 15 minutes
	Unix   string `json:"net.core.wmem_default,omitempty"` // bytes that a unix socket may hold; a network namespace may not tell
}

// ThisMachine is where this process runs.
func ThisMachine() Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version()}
	m.CPU = field("/proc/cpuinfo", "model name", ":")
	if family := field("/proc/cpuinfo", "cpu family", ":"); family != "" { // a virtual machine's name may say no more than AMD EPYC
		m.CPU += ", family " + family + " model " + field("/proc/cpuinfo", "model", ":")
	}
	m.System = strings.Trim(field("/etc/os-release", "PRETTY_NAME", "="), `"`)
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
	}
	load, _ := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(load)); len(f) > 3 {
		m.Load = strings.Join(f[:3], " ")
	}
	unixBuffer, _ := os.ReadFile("/proc/sys/net/core/wmem_default")
	m.Unix = strings.TrimSpace(string(unixBuffer))
	return m
}

// Heading is the first line of a report for a person.
func (m Machine) Heading(date string) string {
	return fmt.Sprintf("%s, %s, %d cores, %s, %s, net.core.wmem_default %s; load %s at the start\n",
		date, m.CPU, m.Cores, m.Kernel, m.System, cmp.Or(m.Unix, "unknown"), m.Load)
}

// field is the first value of a name in a file of lines.
func field(file, name, sep string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, sep); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
