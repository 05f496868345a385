// Package lab brings up two libvirt hosts, host-a and host-b, on one Linux machine, for tests,
// demonstrations and benchmarks.
//
//	lab.Require(t)
//	l, err := lab.Up(ctx, lab.Options{})
//	defer l.Down()
//	g, err := l.A.StartGuest(ctx, lab.GuestSpec{Name: "g", MemoryMiB: 256})
//	out, err := l.A.Virsh(ctx, "migrate", "--live", "--p2p", "g", "qemu+tcp://host-b/system")
//	err = l.CheckOnlyOn(ctx, "g", l.B)
//
// A host is a set of namespaces (mount, network, pid, uts, ipc) whose pid 1 is this same program,
// executed again: it builds the host's view of the file system, then only reaps. Machine and hosts
// share everything but /run, /etc, /var/log and /var/lib (writable layers over the machine's),
// /etc/libvirt, /etc/pki, /etc/sluice, /var/lib/sluice, and libvirt's folders under /var, which are the
// host's own and live in memory. A
// program or a file made anywhere else, such as in t.TempDir, has the same path in the hosts. The
// two hosts are joined by one veth pair of which neither end is in the machine's network, so that
// labs standing side by side can use the same addresses; three ([Options.Third]) by a bridge in
// host-a. From outside, [Host.Dial] and
// [Host.Listen] reach a host's network and [Host.Path] its files.
//
// Nothing of a lab has a name on the machine, nor a file: it consists of processes alone. When they
// end, the kernel takes back the rest. A lab also ends when the process that brought it up does,
// whatever the cause, unless [Options.Persist] is set; such a lab is found again by [Attach] and
// [List], which read it from the process table.
//
// A host can be of another release than the machine ([Options.RootA]): it then shares with it only
// the kernel, /dev and the folders for temporary files.
//
// Guests need no operating system: a boot ROM of a few hundred bytes fills memory, then dirties a
// part of it and checks all of it, pass after pass (see [GuestSpec]). They run in software
// emulation, so that the lab works where there is no KVM; where there is one, hosts do not see it.
//
// libvirtd runs as root and QEMU as libvirt-qemu, Debian's default, so that a lab shows what an
// ordinary host would: QEMU reaches only the files, sockets and keys that it may ([GiveToQEMU]).
// Folders that it has to pass must let others in, which those of t.TempDir do not. A test that
// wants QEMU to be root says so by Options.QemuConf.
//
// What the lab does not do: it does not isolate (hosts run as the machine's root, see its /dev and
// can reach its files), and it does not touch the machine's own libvirtd, network or cgroups.
//
// A program that imports this package becomes pid 1 of a host when it is executed under the name
// sluice-lab-init; the package's init function sees to that, before main or TestMain.
package lab
