// Package virt is this host's libvirtd and QEMU as the daemon sees them: connections, a guest's
// state, a migration job's statistics, whether QEMU has died, and which of libvirt's errors are
// answers.
//
//	l := virt.Libvirt{Socket: "/run/libvirt/libvirt-sock", Host: "host-a"}
//	state, err := l.State(ctx, uuid)
//
// Everything that asks libvirt calls it: migrations, the gateway, arrivals, checks. It runs no
// migration and decides nothing about a guest; libvirt's packets as they pass between others are
// internal/libvirtrpc's.
package virt
