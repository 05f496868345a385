package guests_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// kernel is one that Debian ships.
type kernel struct {
	series   string
	package_ string // pattern of the package's name
	rekeys   bool   // can change the keys of a connection
	landlock int    // version of its interface
}

var kernels = []kernel{
	{"6.1", `linux-image-6\.1\.0-[0-9]+-cloud-amd64`, false, 2},                    // Debian 12
	{"6.12", `linux-image-6\.12\.[0-9]+\+deb12-cloud-amd64`, false, 6},             // Debian 13
	{"6.16 or newer", `linux-image-6\.1[6-8]\.[0-9]+\+deb13-cloud-amd64`, true, 7}, // its backports
}

// fetching is held by the test that looks for a kernel: apt-get serves one at a
// time, and two tests may want the same.
var fetching sync.Mutex

// unpacked returns the folder of a kernel's files, fetched if they are not in the user's cache yet.
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
	d := newDebian(t, cache, "bookworm", "bookworm-security", "trixie-backports")
	search := func() string {
		return k.newest(strings.Fields(d.apt(t, "apt-cache", "search", "--names-only", "^"+k.package_+"$")))
	}
	name := search()
	if name == "" {
		d.apt(t, "apt-get", "update")
		name = search()
	}
	if name == "" {
		t.Fatalf("Debian has no package like %s any more: correct the kernels of this test", k.package_)
	}
	d.apt(t, "apt-get", "download", name)
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
