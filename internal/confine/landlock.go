package confine

import (
	"errors"
	"fmt"
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"
	abi "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// Rights over folders and what is in them; ofFiles are those that a rule for one file may have.
const (
	read  = abi.AccessFSReadFile | abi.AccessFSReadDir
	write = abi.AccessFSWriteFile | abi.AccessFSTruncate | abi.AccessFSMakeReg | abi.AccessFSMakeSock | abi.AccessFSMakeDir | abi.AccessFSMakeSym | abi.AccessFSRemoveFile | abi.AccessFSRemoveDir

	ofFiles = abi.AccessFSReadFile | abi.AccessFSWriteFile | abi.AccessFSTruncate
)

// ErrNoLandlock means that the kernel has none, or that it is not among those that it was started
// with (the parameter lsm=).
var ErrNoLandlock = errors.New("this kernel has no Landlock, or was started without it")

// Landlock keeps this process, and what it executes, from all files but f: from reading, writing,
// making, removing and executing them. It returns the version of the kernel's interface (from 1 in
// Linux 5.13); older ones know fewer ways to change a file: none before 2 lets it be moved to
// another folder at all, those before 3 let it be truncated, those before 5 let devices be
// controlled. What is open stays so.
//
// Sockets are not restricted, not by path nor by port: a peer, and libvirt, name the ports that the
// daemon connects to.
func Landlock(f Files) (version int, err error) {
	version, err = abi.LandlockGetABIVersion()
	if err != nil || version < 1 {
		return 0, ErrNoLandlock
	}
	var rules []landlock.Rule
	allow := func(paths []string, rights landlock.AccessFSSet) {
		for _, p := range paths {
			st, err := os.Stat(p)
			switch {
			case err != nil: // it is not there, or out of reach anyway
			case st.IsDir():
				rules = append(rules, landlock.PathAccess(rights, p))
			default:
				rules = append(rules, landlock.PathAccess(rights&ofFiles, p))
			}
		}
	}
	allow(f.Read, read)
	allow(f.Write, read|write)
	if f.Execute {
		allow([]string{"/"}, read|abi.AccessFSExecute)
	}
	if err := landlock.V5.BestEffort().RestrictPaths(rules...); err != nil {
		return version, fmt.Errorf("Landlock: %w", err)
	}
	return version, nil
}
