// Package observer answers, in a process of its own, what takes rights over other users' processes
// and folders: which process has a socket, where a symbolic link leads, and whether an image's header
// leads to another file. That process has these rights and nothing else, does nothing else, and
// reads the daemon alone. So the daemon needs neither CAP_SYS_PTRACE nor CAP_DAC_READ_SEARCH, and may
// be under Landlock, which keeps a process from looking at others' descriptors whatever its
// capabilities.
//
//	o, err := observer.Start() // while the daemon still has its rights
//	defer o.Close()
//	has, err := o.HasSocket(pid, inode)
//	target, err := o.Resolve("/var/lib/libvirt/images/web1.qcow2")
//
// The process is one that systemd starts for a connection to Socket (internal/packaging/systemd/sluice-observer.socket),
// or else a child, `sluice observe`. It ends with the connection.
package observer
