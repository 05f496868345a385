package versions

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/roots"
	"github.com/virt-sluice/sluice/proxy/virt"
)

// A release is one of Debian's.
type release struct {
	name    string
	suite   string // of its root; empty: it is this machine's
	machine string // its newest machine type that those after it have
	modular bool   // libvirt runs as virtqemud, virtproxyd and others
}

var (
	debian12      = &release{"12", "", lab.OldMachine, false}
	debian13      = &release{"13", "trixie", "pc-i440fx-10.0", false}
	modular13     = &release{"13 modular", "trixie", "pc-i440fx-10.0", true}
	debianTesting = &release{"testing", "testing", "pc", false}
)

// releases, the oldest first.
var releases = []*release{debian12, debian13, modular13, debianTesting}

// A direction is where guests go.
type direction struct{ from, to *release }

func (d direction) String() string { return d.from.name + " to " + d.to.name }

// machine is the newest machine type that both have.
func (d direction) machine() string {
	if slices.Index(releases, d.from) < slices.Index(releases, d.to) {
		return d.from.machine
	}
	return d.to.machine
}

// usual are the directions that are always tried.
var usual = []direction{{debian12, debian13}, {debian13, debian12}}

// every one of them there is: to the same release, to the next or back, or from the oldest to the
// newest; and between modular daemons, or with libvirtd at one end.
var every = append([]direction{
	{debian12, debian12}, {debian13, debian13}, {debianTesting, debianTesting},
	{debian13, debianTesting}, {debianTesting, debian13}, {debian12, debianTesting},
	{modular13, modular13}, {debian13, modular13}, {modular13, debian13},
}, usual...)

// hosts are a lab of two releases, host-a being the one that guests leave.
type hosts struct {
	*lab.Lab
	direction  direction
	hasA, hasB virt.Versions
}

// up brings up the hosts, which go down with the test.
func (d direction) up(t *testing.T) *hosts {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute) // builds roots
	defer cancel()
	root := func(r *release) string {
		if r.suite == "" {
			return ""
		}
		open := roots.Open
		if r.modular {
			open = roots.OpenModular
		}
		root, err := open(ctx, r.suite)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { root.Close() })
		return root.Dir
	}
	o := lab.Options{RootA: root(d.from), RootB: root(d.to)}
	ctx, cancel = context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	l, err := lab.Up(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	return &hosts{l, d, has(t, l.A), has(t, l.B)}
}

// has are the versions of a host's programs.
func has(t *testing.T, h *lab.Host) virt.Versions {
	t.Helper()
	of := func(program string) string {
		out, err := h.Command(t.Context(), program, "--version").Output()
		if err != nil {
			t.Fatalf("%s --version on %s: %v", program, h.Name, err)
		}
		line, _, _ := strings.Cut(string(out), "\n")
		number := version.FindString(line)
		if number == "" {
			t.Fatalf("%s --version on %s says %q", program, h.Name, line)
		}
		return number
	}
	return virt.Versions{Libvirt: of(h.Libvirtd()), QEMU: of("qemu-system-x86_64")}
}

var version = regexp.MustCompile(`\d+\.\d+\.\d+`)

func key(d direction, c *testCase) string { return fmt.Sprintf("%v/%s", d, c.name) }
