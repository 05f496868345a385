package main

import "github.com/virt-sluice/sluice/internal/lab"

// A named thing is one of those that a flag chooses from.
type named interface{ called() string }

func names[T named](all []T) (names []string) {
	for _, one := range all {
		names = append(names, one.called())
	}
	return names
}

// kind is one of the guests.
type kind struct {
	name string
	spec lab.GuestSpec
}

func (k kind) called() string { return k.name }

const (
	leastLink, mostLink = 32, 300 // MiB per second

	passes = 10 // per second
	beats  = 100
)

// kinds are the guests for a link of so many MiB per second.
func kinds(link int) []kind {
	// perPass is what a guest that changes so many quarters of what the link carries does in a pass,
	// in whole pages.
	perPass := func(quarters int) int { return link * 1024 / 4 * quarters / passes &^ 3 }
	all := []kind{
		{"idle", lab.GuestSpec{}},
		{"below", lab.GuestSpec{SpreadKiB: perPass(2)}},
		{"above", lab.GuestSpec{SpreadKiB: perPass(8)}},
		{"bursts", lab.GuestSpec{SpreadKiB: perPass(8), BurstPasses: 4 * passes, RestPasses: 3 * passes}},
		{"hot", lab.GuestSpec{DirtyMiB: 4 * link / 10, SpreadKiB: perPass(8) / 20 &^ 3}},
		{"growing", lab.GuestSpec{MemoryMiB: 8 * link, EmptyMiB: 7 * link, GrowKiB: perPass(2)}},
	}
	for i := range all {
		s := &all[i].spec
		s.Name, s.Persistent = all[i].name, true // libvirt tells of the job of one that it still knows
		s.PassesPerSecond, s.Beats = passes, beats
		if s.MemoryMiB == 0 {
			s.MemoryMiB = 4 * link
		}
		if s.DirtyMiB == 0 {
			s.DirtyMiB = -1
		}
	}
	return all
}
