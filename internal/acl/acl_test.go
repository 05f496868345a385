package acl_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/virt-sluice/sluice/internal/acl"
	"github.com/virt-sluice/sluice/internal/needs"
)

// Users of the test's processes. None has any capability.
const maker, user, stranger = 4141, 4242, 4343

// roleVariable makes the test's program do one thing, with a path, and then wait for the end of its
// standard input.
const roleVariable = "SLUICE_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) == "" {
		os.Exit(m.Run())
	}
	if err := role(os.Getenv(roleVariable), os.Args[1]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("done")
	io.Copy(io.Discard, os.Stdin)
}

func role(name, path string) error {
	switch name {
	case "socket":
		if err := listen(path); err != nil {
			return err
		}
		return acl.Grant(path, user, acl.Read|acl.Write)
	case "folder":
		if err := os.Mkdir(path, 0o711); err != nil {
			return err
		}
		return acl.GrantFolder(path, user)
	case "listen":
		syscall.Umask(0o002)
		return listen(path)
	case "remove":
		return os.RemoveAll(path)
	}
	_, err := net.Dial("unix", path)
	return err
}

func listen(path string) error {
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if os.Getuid() == maker {
		return os.Chmod(path, 0o600)
	}
	return nil // QEMU leaves it as its umask does
}

// run has a role done by a user, who goes on until the test ends, and returns what is wrong.
func run(t *testing.T, uid uint32, role, path string) string {
	t.Helper()
	line, end := needs.Again(t, uid, roleVariable+"="+role, path)
	t.Cleanup(func() { end() })
	return strings.TrimSuffix(line, "done")
}

func TestGrant(t *testing.T) {
	needs.Root(t, "to give a folder away")
	dir := t.TempDir()
	for d := dir; d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(dir, maker, maker); err != nil {
		t.Fatal(err)
	}
	socket, folder := filepath.Join(dir, "socket"), filepath.Join(dir, "folder")
	theirs := filepath.Join(folder, "theirs")
	for _, c := range []struct {
		uid        uint32
		role, path string
		want       string
	}{
		{maker, "socket", socket, ""},
		{user, "connect", socket, ""},
		{stranger, "connect", socket, "permission denied"},
		{maker, "folder", folder, ""},
		{stranger, "listen", theirs, "permission denied"},
		{user, "listen", theirs, ""},
		{maker, "connect", theirs, ""},
		{stranger, "connect", theirs, "permission denied"},
		{maker, "remove", folder, ""},
	} {
		if got := run(t, c.uid, c.role, c.path); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s of %s by uid %d: %q, want %q", c.role, c.path, c.uid, got, c.want)
		}
	}
}
