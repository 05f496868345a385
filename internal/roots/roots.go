// Package roots keeps file systems of other Debian releases, with their libvirt and QEMU, for hosts
// of the lab.
//
//	root, err := roots.Open(ctx, "trixie")
//	l, err := lab.Up(ctx, lab.Options{RootB: root.Dir})
//	root.Close()
//
// mmdebstrap builds one from the mirror that this machine's apt uses, which takes a minute and a
// half and 400 MB. It is kept in the user's cache, or in the folder that SLUICE_ROOTS names, until
// the list of packages here changes. Hosts do not write to it. OpenModular adds libvirt's modular
// daemons to one.
package roots

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// FolderVariable names the folder in which roots are kept, instead of the user's cache.
const FolderVariable = "SLUICE_ROOTS"

// A Root is a file system that is whole, and stays until Close, and for as long as hosts have it.
type Root struct {
	Dir  string   // of one over another, both, joined as in PATH
	held *os.File // locked, so that nobody takes it for an old one
	base *Root    // nil if it stands by itself
}

// Close lets go of the root, which stays where it is.
func (r *Root) Close() error {
	err := r.held.Close()
	if r.base != nil {
		err = errors.Join(err, r.base.Close())
	}
	return err
}

var suiteRule = regexp.MustCompile(`^[a-z]+$`)

// Open finds the root of a release, which is named as apt does ("trixie", "testing"), and builds it
// if there is none. It waits for another process that is building it.
func Open(ctx context.Context, suite string) (*Root, error) {
	if !suiteRule.MatchString(suite) {
		return nil, fmt.Errorf("release %q: want a name such as trixie", suite)
	}
	return open(ctx, suite, recipe(suite), func(part string, lock *os.File) error { return build(ctx, suite, part, lock) })
}

// open finds what was built by a recipe, or has it built. It has its place only once it is whole.
func open(ctx context.Context, name string, recipe []string, build func(part string, lock *os.File) error) (*Root, error) {
	folder, err := folder()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	lock, err := lock(ctx, filepath.Join(folder, name+".lock"))
	if err != nil {
		return nil, fmt.Errorf("wait for the root of Debian %s: %w", name, err)
	}
	defer lock.Close()

	dir := place(folder, name, recipe)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		part := dir + ".part"
		if err := os.RemoveAll(part); err != nil {
			return nil, err
		}
		if err := build(part, lock); err != nil {
			return nil, errors.Join(err, os.RemoveAll(part))
		}
		if err := os.Rename(part, dir); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	held, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(held.Fd()), unix.LOCK_SH); err != nil {
		held.Close()
		return nil, os.NewSyscallError("flock", err)
	}
	removeOld(folder, name, dir)
	return &Root{Dir: dir, held: held}, nil
}

func folder() (string, error) {
	if folder := os.Getenv(FolderVariable); folder != "" {
		return filepath.Abs(folder)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("where to keep roots of Debian releases: %w; or set %s", err, FolderVariable)
	}
	return filepath.Join(cache, "sluice", "roots"), nil
}

// place is where lies what was built by a recipe.
func place(folder, name string, recipe []string) string {
	sum := sha256.Sum256([]byte(strings.Join(recipe, "\n")))
	return filepath.Join(folder, fmt.Sprintf("%s-%x", name, sum[:6]))
}

// lock takes the lock of a release, which holds as long as any process has the file open.
func lock(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			f.Close()
			return nil, os.NewSyscallError("flock", err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		}
	}
}

// removeOld removes what other recipes have made under the name, unless somebody has it open, and
// what was not finished. Without success it stays for the next time.
func removeOld(folder, name, dir string) {
	old, _ := filepath.Glob(filepath.Join(folder, name+"-*"))
	for _, path := range old {
		if path == dir {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			os.RemoveAll(path)
		}
		f.Close()
	}
}
