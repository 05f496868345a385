package roots

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/needs"
)

// suite has no root anywhere.
const suite = "nonesuch"

// cache is an empty folder for roots.
func cache(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	t.Setenv(FolderVariable, folder)
	return folder
}

func makeFolder(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(path, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Half a root is not used, and who can't build one is told what to do.
func TestCannotBuild(t *testing.T) {
	needs.Root(t, "to build a root")
	needs.Program(t, "apt-get")
	folder := cache(t)
	aptGet, err := exec.LookPath("apt-get")
	if err != nil {
		t.Fatal(err)
	}
	programs := t.TempDir()
	if err := os.Symlink(aptGet, filepath.Join(programs, "apt-get")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", programs)
	part := place(folder, suite, recipe(suite)) + ".part"
	makeFolder(t, part)
	_, err = Open(t.Context(), suite)
	if !errors.Is(err, exec.ErrNotFound) || !strings.Contains(err.Error(), "Debian nonesuch") || !strings.Contains(err.Error(), "test/install") {
		t.Errorf("without mmdebstrap: %v", err)
	}
	if there(place(folder, suite, recipe(suite))) || there(part) {
		t.Error("half a root is left")
	}
	if _, err := Open(t.Context(), "../trixie"); err == nil || !strings.Contains(err.Error(), "../trixie") {
		t.Errorf("a release with a path for a name: %v", err)
	}
}

func TestFailedWords(t *testing.T) {
	err := failed(t.Context(), suite, "http://mirror.example/debian", "/cache/nonesuch-1", errors.New("exit status 25"), strings.Repeat("I: before\n", 20)+"E: no network\n")
	for _, w := range []string{"Debian nonesuch from http://mirror.example/debian: exit status 25", "E: no network", "copy /cache/nonesuch-1 here", needs.SkipVariable} {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%v\nlacks %q", err, w)
		}
	}
}

// Who comes while another builds waits; what others have open is not removed.
func TestShared(t *testing.T) {
	folder := cache(t)
	dir := place(folder, suite, recipe(suite))
	makeFolder(t, dir)
	used, unused, part := filepath.Join(folder, suite+"-0001"), filepath.Join(folder, suite+"-0002"), filepath.Join(folder, suite+"-0003.part")
	for _, path := range []string{used, unused, part} {
		makeFolder(t, path)
	}
	user, err := os.Open(used)
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	if err := unix.Flock(int(user.Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}

	building, err := lock(t.Context(), filepath.Join(folder, suite+".lock"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, suite); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while another builds: %v", err)
	}
	opened := make(chan error)
	go func() {
		root, err := Open(t.Context(), suite)
		if err == nil && root.Dir != dir {
			err = errors.New("the root is " + root.Dir)
		}
		if err == nil {
			err = root.Close()
		}
		opened <- err
	}()
	building.Close()
	if err := <-opened; err != nil {
		t.Error(err)
	}
	if !there(used) || there(unused) || there(part) {
		t.Errorf("the old root that is in use is there: %t; those that are not: %t, %t", there(used), there(unused), there(part))
	}
}

func TestLibvirtVersion(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "var/lib/dpkg"), 0o755); err != nil {
		t.Fatal(err)
	}
	status := filepath.Join(root, "var/lib/dpkg/status")
	for text, want := range map[string]string{
		"Package: libvirt-daemon-log\nVersion: 1\n\nPackage: libvirt-daemon\nStatus: install ok installed\nSource: libvirt\nVersion: 11.3.0-3+deb13u3\n\nPackage: z\nVersion: 2\n": "11.3.0-3+deb13u3",
		"Package: z\nVersion: 2\n": "",
	} {
		if err := os.WriteFile(status, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := libvirtVersion(root); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}
