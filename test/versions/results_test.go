package versions

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// A record is what came of the cases of a run.
type record struct {
	mu       sync.Mutex
	outcomes map[string]string // by key
	faults   []string          // in the order of their numbers
	versions map[*release]virt.Versions
}

func newRecord() *record {
	return &record{outcomes: make(map[string]string), versions: make(map[*release]virt.Versions)}
}

// has notes what a release has.
func (r *record) has(of *release, v virt.Versions) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.versions[of] = v
}

// add notes the outcome of a case, which a fault has kept from moving the guest if there is one.
func (r *record) add(d direction, c *testCase, failed bool, fault string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	outcome := "yes"
	switch {
	case failed:
		outcome = "**failed**"
	case fault != "":
		n := slices.Index(r.faults, fault)
		if n < 0 {
			n = len(r.faults)
			r.faults = append(r.faults, fault)
		}
		outcome = fmt.Sprintf("no (%d)", n+1)
	}
	r.outcomes[key(d, c)] = outcome
}

// write writes the table to a file.
func (r *record) write(file string) error {
	var b strings.Builder
	b.WriteString(`# Versions of libvirt and QEMU

Made by ` + "`make test-versions`" + `, which overwrites it: guests were moved between hosts of Debian
releases, by every way, and all of their memory compared afterwards. Where libvirt is modular, which
Debian's is not, virtqemud, virtproxyd and others are built from Debian's source.

`)
	row := func(first string, cells ...string) {
		fmt.Fprintf(&b, "| %s | %s |\n", first, strings.Join(cells, " | "))
	}
	head := func(first string, cells []string) {
		row(first, cells...)
		row("---", slices.Repeat([]string{"---"}, len(cells))...)
	}
	var names, libvirt, qemu []string
	for _, of := range releases {
		names = append(names, "Debian "+of.name)
		libvirt, qemu = append(libvirt, r.versions[of].Libvirt), append(qemu, r.versions[of].QEMU)
	}
	head("", names)
	row("libvirt", libvirt...)
	row("QEMU", qemu...)
	b.WriteString("\n")
	var directions []string
	for _, d := range every {
		directions = append(directions, d.String())
	}
	head("", directions)
	for _, c := range cases {
		var cells []string
		for _, d := range every {
			cells = append(cells, cmp.Or(r.outcomes[key(d, c)], "not tried"))
		}
		row(c.name, cells...)
	}
	if len(r.faults) > 0 {
		b.WriteString("\nThe rest is refused in words, or given up, and loses no guest:\n\n")
		for i, f := range r.faults {
			fmt.Fprintf(&b, "%d. %s.\n", i+1, strings.Replace(f, ": ", ":\n   ", 1))
		}
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}
