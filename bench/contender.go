package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// contender is a program that relays.
type contender struct {
	name     string
	program  string // to be found on the PATH; sluice itself if empty
	kind     kind
	settings string   // other than the defaults, in words
	version  []string // arguments that make it tell its version
	// relay makes the arguments of one relay, and the files that they name.
	relay func(e *end) []string
}

// kind is what a contender is compared with.
type kind int

const (
	competitor kind = iota
	ours            // sluice with TLS
	plain           // sluice without
	floor           // the least that relaying costs, without TLS
	plainest        // the plainest way to carry records
)

var contenders = []contender{
	{name: "sluice", kind: ours, settings: "sluice tunnel, priority " + priority, version: []string{"version"}, relay: sluiceTLS},
	{name: "sluice-plain", kind: plain, settings: "sluice tunnel without TLS, unix: to tcp:", version: []string{"version"}, relay: sluicePlain},
	{name: "splice", kind: floor, settings: "no TLS: Go's io.Copy between unix and TCP sockets, which splices", relay: builtin},
	{name: "loop", kind: plainest, settings: "no TLS connection: blocking reads and writes, a thread for each direction, and sluice's AES-GCM between", relay: builtin},
	{name: "io.Copy", settings: "io.Copy each way over crypto/tls", relay: builtin},
	{name: "ghostunnel", program: "ghostunnel", settings: "defaults", version: []string{"--version"}, relay: ghostunnel},
	{name: "stunnel", program: "stunnel", settings: "TCP_NODELAY", version: []string{"-version"}, relay: stunnel},
	{name: "haproxy", program: "haproxy", settings: "a thread for each processor, tune.bufsize 65536", version: []string{"-v"}, relay: haproxy},
	{name: "nginx", program: "nginx", settings: "stream module, a worker for each processor, proxy_buffer_size 64k", version: []string{"-v"}, relay: nginx},
	{name: "socat", program: "socat", settings: "blocks of 64 KiB (-b 65536), a process for each connection", version: []string{"-V"}, relay: socat},
}

// Contenders are the names that Options.Only may have.
func Contenders() []string {
	var names []string
	for _, c := range contenders {
		names = append(names, c.name)
	}
	return names
}

// installed divides the wanted contenders into those that are there, with their
// programs' paths, and those that are not.
func (o *Options) installed() (there []contender, missing []string) {
	for _, c := range contenders {
		if len(o.Only) > 0 && !slices.Contains(o.Only, c.name) {
			continue
		}
		if c.program == "" {
			c.program = o.Sluice
		} else if c.program = o.find(c.program); c.program == "" {
			missing = append(missing, c.name)
			continue
		}
		there = append(there, c)
	}
	return there, missing
}

// find looks where a user's PATH may not lead, too.
func (o *Options) find(program string) string {
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	for _, dir := range []string{o.Tools, "/usr/sbin"} {
		if path := filepath.Join(dir, program); dir != "" && executable(path) {
			return path
		}
	}
	return ""
}

// newest is a program as bench/install has fetched it, else as it is installed.
func (o *Options) newest(program string) string {
	if path := filepath.Join(o.Tools, program); o.Tools != "" && executable(path) {
		return path
	}
	return o.find(program)
}

func executable(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

// versionOf is what the contender's program says of its version.
func (c *contender) versionOf() string {
	if c.version == nil {
		return ""
	}
	return versionOf(c.program, c.version...)
}

// versionOf is the first line that has a digit in it of what a program says.
func versionOf(program string, args ...string) string {
	out, _ := exec.Command(program, args...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); strings.ContainsAny(line, "0123456789") {
			return line
		}
	}
	return ""
}
