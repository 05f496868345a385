package sockets

import (
	"fmt"
	"os"
	"strconv"
)

// Process finds a process of this host that has the socket with an inode. It takes CAP_SYS_PTRACE to
// see other users' sockets.
func Process(inode string) (pid int, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if own, err := Inodes(e.Name()); err == nil && own[inode] { // else it has ended, or is not to be seen
			return pid, nil
		}
	}
	return 0, fmt.Errorf("no process that can be seen has the socket %s", inode)
}
