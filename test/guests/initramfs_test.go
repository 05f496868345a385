package guests_test

import (
	"bytes"
	"fmt"
	"path/filepath"
)

// initramfs is an archive in cpio's format "newc", which the kernel unpacks
// (Documentation/driver-api/early-userspace/buffer-format.rst).
type initramfs struct {
	bytes.Buffer
	dirs map[string]bool
}

const (
	modeDir  = 0o040755
	modeFile = 0o100755
)

// add adds a file and the folders it is in.
func (a *initramfs) add(path string, content []byte) {
	if a.dirs == nil {
		a.dirs = map[string]bool{".": true}
	}
	a.folder(filepath.Dir(path))
	a.entry(path, modeFile, content)
}

func (a *initramfs) folder(path string) {
	if !a.dirs[path] {
		a.dirs[path] = true
		a.folder(filepath.Dir(path))
		a.entry(path, modeDir, nil)
	}
}

func (a *initramfs) entry(path string, mode int, content []byte) {
	// Magic, then inode, mode, uid, gid, links, mtime, size, four device numbers,
	// the name's length with its zero, and a checksum.
	fmt.Fprintf(a, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		a.Len(), mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path)+1, 0)
	a.WriteString(path)
	a.WriteByte(0)
	a.pad()
	a.Write(content)
	a.pad()
}

func (a *initramfs) pad() {
	for a.Len()%4 != 0 {
		a.WriteByte(0)
	}
}

// archive ends it.
func (a *initramfs) archive() []byte {
	a.entry("TRAILER!!!", 0, nil)
	return a.Bytes()
}
