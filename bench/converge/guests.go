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

const leastLink, mostLink = 32, 300 // MiB per second

// kinds are the guests for a link of so many MiB per second.
func kinds(link int) (all []kind) {
	for _, spec := range lab.Kinds(link) {
		all = append(all, kind{spec.Name, spec})
	}
	return all
}
