// Package programs moves guests by programs that people have, from Debian's packages and with the
// settings that they have always had: between two hosts with a sluice on each, of which the programs
// know nothing.
//
//	make test-programs                 all of them; the packages are unpacked into bin/programs first
//	go test ./test/programs -args -all all of them, if the packages are there
//	go test ./test/programs            a sample, for which resource-agents has to be there
//
// Each case is a row of the table in docs/clients.md, and there is no row without a case.
package programs

import (
	"cmp"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/stand"
	"github.com/virt-sluice/sluice/proxy/session"
)

var all = flag.Bool("all", false, "run all cases, not a sample")

func TestMain(m *testing.M) {
	defer sluice.Remove()
	m.Run()
}

// sluice is what the programs know nothing of.
var sluice stand.Built

// unpacked is the folder of make test-programs, in which fetch has put packages.
const unpacked = "../../bin/programs"

// A testCase is a row of the table.
type testCase struct {
	program  string
	pkg      string // Debian's, whose version the table has
	settings string
	by       string // what keeps the guest's memory secret; the sluices' session by default
	guest    lab.GuestSpec
	// move has the program move the guest from host-a to host-b, or do with it what else the row
	// says.
	move func(s *stage)
	// alone: the source's sluice has no part in it, because libvirt's or QEMU's own TLS leads to that
	// of the destination.
	alone bool
	// stays: the guest is on host-a afterwards.
	stays bool
	// intercepted: the kernel leads QEMU's connections to sluice, for libvirt's lead past it.
	intercepted bool
}

// carries says what keeps the guest's memory secret.
func (c *testCase) carries() string { return cmp.Or(c.by, session.BySluice) }

// name is the case's as a test.
func (c *testCase) name() string { return c.program + "/" + c.settings }

func alone(c testCase) testCase {
	c.alone = true
	return c
}

func intercepted(c testCase) testCase {
	c.by, c.intercepted = session.ByInterception, true
	return c
}

func TestPrograms(t *testing.T) {
	lab.Require(t)
	cases := virtualDomain[:2]
	if *all {
		cases = everything()
	}
	for _, c := range cases {
		if _, err := os.Stat(filepath.Join(unpacked, "deb", c.pkg)); err != nil {
			t.Fatalf("%s is not unpacked: %v\n`make test-programs` does that", c.pkg, err)
		}
	}
	s := newStage(t)
	for _, c := range cases {
		t.Run(c.name(), func(t *testing.T) { s.play(t, &c) })
	}
}

// everything is every case.
func everything() (list []testCase) {
	for _, of := range [][]testCase{virtualDomain, virtManager, libvirtCalls, nova} {
		list = append(list, of...)
	}
	return list
}
