// Package guestpolicy judges what a guest's description asks of this host.
//
//	policy := guestpolicy.New(cfg.Accept, pools)
//	err := policy.Check(description)
//
// Whoever describes a guest chooses what its QEMU opens, runs and listens on, and libvirt does that
// with root's rights. So what comes from another host may name only what guests ordinarily have:
// files beneath listed folders, this host's emulators, networks and bridges, consoles that lead
// nowhere else. What an administrator wants beyond that is listed in [accept] of the configuration.
//
// The judgement is by what is known, not by what is feared. Elements whose place or name is unknown
// are refused, since a newer libvirt may give them a meaning; so is everything in an XML namespace
// outside of <metadata>, since libvirt does not look at the namespace everywhere; and so is each
// value that looks like a path where no rule expects one.
//
// What the package does not do: read what the files hold. An image can name a backing file of its
// own, or one for its data.
package guestpolicy
