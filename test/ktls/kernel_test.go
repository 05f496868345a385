package ktls_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
)

// kernel is one that Debian ships.
type kernel struct {
	series   string
	package_ string // pattern of the package's name
	rekeys   bool   // can change the keys of a connection
}

var kernels = []kernel{
	{"6.1", `linux-image-6\.1\.0-[0-9]+-cloud-amd64`, false},                    // Debian 12
	{"6.12", `linux-image-6\.12\.[0-9]+\+deb12-cloud-amd64`, false},             // Debian 13
	{"6.16 or newer", `linux-image-6\.1[6-8]\.[0-9]+\+deb13-cloud-amd64`, true}, // its backports
}

// sources are where the kernels are, whatever the machine's own say.
const sources = `deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian-security bookworm-security main
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie-backports main
`

// fetching is held by the test that looks for a kernel: apt-get serves one at a
// time, and two tests may want the same.
var fetching sync.Mutex

// unpacked returns the folder of a kernel's files, fetched if they are not in
// the user's cache yet.
func (k kernel) unpacked(t *testing.T) string {
	t.Helper()
	fetching.Lock()
	defer fetching.Unlock()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	cache = filepath.Join(cache, "sluice", "kernels")
	if name := k.newest(names(t, cache)); name != "" {
		return filepath.Join(cache, name)
	}
	needs.Program(t, "apt-get", "apt-cache", "dpkg-deb")
	if err := os.MkdirAll(filepath.Join(cache, ".apt", "lists", "partial"), 0o755); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(cache, ".apt", "sources.list")
	if err := os.WriteFile(list, []byte(sources), 0o644); err != nil {
		t.Fatal(err)
	}
	apt := func(program string, args ...string) string {
		t.Helper()
		args = append([]string{"-q", "-o", "Dir::Etc::sourcelist=" + list, "-o", "Dir::Etc::sourceparts=-",
			"-o", "Dir::State::lists=" + filepath.Join(cache, ".apt", "lists"), "-o", "Dir::Cache=" + filepath.Join(cache, ".apt"),
			"-o", "APT::Sandbox::User=root"}, args...)
		return command(t, cache, program, args...)
	}
	search := func() string {
		return k.newest(strings.Fields(apt("apt-cache", "search", "--names-only", "^"+k.package_+"$")))
	}
	name := search()
	if name == "" {
		apt("apt-get", "update")
		name = search()
	}
	if name == "" {
		t.Fatalf("Debian has no package like %s any more: correct the kernels of this test", k.package_)
	}
	apt("apt-get", "download", name)
	debs, _ := filepath.Glob(filepath.Join(cache, name+"_*.deb"))
	if len(debs) != 1 {
		t.Fatalf("apt-get download %s left %q", name, debs)
	}
	part := filepath.Join(cache, "."+name)
	command(t, cache, "dpkg-deb", "-x", debs[0], part)
	if err := os.Rename(part, filepath.Join(cache, name)); err != nil {
		t.Fatal(err)
	}
	os.Remove(debs[0])
	return filepath.Join(cache, name)
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// newest returns the last of the names that are of k's series, or nothing.
func (k kernel) newest(names []string) string {
	of := regexp.MustCompile("^" + k.package_ + "$")
	names = slices.DeleteFunc(names, func(s string) bool { return !of.MatchString(s) })
	if len(names) == 0 {
		return ""
	}
	return slices.MaxFunc(names, func(a, b string) int { return slices.Compare(numbers(a), numbers(b)) })
}

var digits = regexp.MustCompile("[0-9]+")

func numbers(s string) (ns []int) {
	for _, d := range digits.FindAllString(s, -1) {
		n := 0
		fmt.Sscan(d, &n)
		ns = append(ns, n)
	}
	return ns
}

func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", cmd, err, out, stderr.String())
	}
	return string(out)
}
