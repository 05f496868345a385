package confine

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// NoDumps keeps this process's memory, with its keys and pieces of guests' memory, out of core
// dumps and from other processes of its user: it becomes undumpable (PR_SET_DUMPABLE), and the
// limit is for those that it executes, which are dumpable again. The limit alone would not do, since
// the kernel ignores 0 where core_pattern names a program, as systemd-coredump (core(5)).
func NoDumps() error {
	limit := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	dumpable := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	return errors.Join(os.NewSyscallError("prctl PR_SET_DUMPABLE", dumpable), os.NewSyscallError("prlimit RLIMIT_CORE", limit))
}

// Dumpable says whether this process would leave a core dump.
func Dumpable() bool {
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	return err != nil || dumpable != 0
}
