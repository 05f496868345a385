package observer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/virt-sluice/sluice/internal/sockets"
)

func TestMain(m *testing.M) {
	if !slices.Contains(os.Args, "observe") {
		os.Exit(m.Run())
	}
	c, err := Inherited()
	if err == nil {
		err = Serve(c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// begun is an observer of its own, a child.
func begun(t *testing.T) *Observer {
	t.Helper()
	o := new(Observer)
	if err := o.spawn(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}

// The child answers as this process would, its errors included.
func TestAnswers(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	all, err := sockets.Listeners(l.Addr().(*net.TCPAddr).AddrPort().Port())
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	inode := all[0].Inode
	dangling := filepath.Join(dir, "dangling")
	if err := os.Symlink(filepath.Join(dir, "none"), dangling); err != nil {
		t.Fatal(err)
	}
	mapped := writeImage(t, 3, 1<<2)
	for name, o := range map[string]*Observer{"a child": begun(t), "none": nil} {
		if has, err := o.HasSocket(os.Getpid(), inode); !has || err != nil {
			t.Errorf("%s: HasSocket: %t, %v", name, has, err)
		}
		if has, err := o.HasSocket(os.Getpid(), "1"); has || err != nil {
			t.Errorf("%s: HasSocket of none: %t, %v", name, has, err)
		}
		if _, err := o.HasSocket(1<<30, inode); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: HasSocket of no process: %v", name, err)
		}
		if pid, err := o.Process(inode); pid != os.Getpid() || err != nil {
			t.Errorf("%s: Process: %d, %v", name, pid, err)
		}
		if _, err := o.Process("1"); err == nil || !strings.Contains(err.Error(), "no process that can be seen") {
			t.Errorf("%s: Process of none: %v", name, err)
		}
		if sees, err := o.Sees(os.Geteuid()); !sees || err != nil {
			t.Errorf("%s: Sees: %t, %v", name, sees, err)
		}
		if _, err := o.Resolve(dangling); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: Resolve of a link to nothing: %v", name, err)
		}
		if _, err := o.Resolve(dangling + "2"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: Resolve of nothing: %v", name, err)
		}
		if to, err := o.Resolve(dir); to == "" || err != nil {
			t.Errorf("%s: Resolve: %q, %v", name, to, err)
		}
		if has, err := o.HasDataFile(mapped); !has || err != nil {
			t.Errorf("%s: HasDataFile: %t, %v", name, has, err)
		}
	}
	// This process asks for what it may not look at alone.
	o := begun(t)
	if _, err := o.ask(question{Path: filepath.Join(dir, "none")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a path of nothing: %v", err)
	}
	if _, err := o.ask(question{Path: dangling}); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link to nothing: %v", err)
	}
	if a, err := o.ask(question{Path: mapped, Image: true}); err != nil || a.DataFile == nil || !*a.DataFile {
		t.Errorf("an image with a data file: %+v, %v", a, err)
	}
	if a, err := o.ask(question{Path: "/" + strings.Repeat("\x01/../", 1000)}); err == nil {
		t.Errorf("a path that is too long leads to %q", a.Target)
	}
	if has, err := o.HasSocket(os.Getpid(), inode); !has || err != nil {
		t.Errorf("after a question of the longest kind: %t, %v", has, err)
	}
}

// writeImage writes a header of a qcow2 image.
func writeImage(t *testing.T, version uint32, features uint64) (path string) {
	t.Helper()
	head := binary.BigEndian.AppendUint32([]byte(qcow2Magic), version)
	head = binary.BigEndian.AppendUint64(append(head, make([]byte, qcow2Features-len(head))...), features)
	path = filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, head, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What is no qcow2 image has no such header, and nothing waits for a pipe's other end.
func TestHasDataFile(t *testing.T) {
	short := writeImage(t, 3, 1<<2)
	if err := os.Truncate(short, qcow2HeaderSize-1); err != nil {
		t.Fatal(err)
	}
	raw := writeImage(t, 3, 1<<2)
	if err := os.WriteFile(raw, make([]byte, 1<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		writeImage(t, 3, 1<<2): true, writeImage(t, 4, 1<<2|1): true, // of a later version, which QEMU does not take
		writeImage(t, 2, 1<<2): false, writeImage(t, 3, 1<<1): false, short: false, raw: false,
	} {
		if has, err := hasDataFile(path); has != want || err != nil {
			t.Errorf("%s: %t, %v; want %t", path, has, err, want)
		}
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, t.TempDir(), pipe + "2"} {
		if _, err := hasDataFile(path); err == nil {
			t.Errorf("%s is looked at", path)
		}
	}
}

// One that has ended is no answer, then and later, and takes a restart.
func TestEnded(t *testing.T) {
	o := begun(t)
	if err := o.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-o.reaped
	if has, err := o.HasSocket(os.Getpid(), "1"); has || err == nil {
		t.Errorf("%t, %v", has, err)
	}
	if has, err := o.HasSocket(os.Getpid(), "1"); has || !errors.Is(err, errEnded) {
		t.Errorf("%t, %v", has, err)
	}
}

// What is no question ends the observer, and with it the connection.
func TestNoQuestion(t *testing.T) {
	o := begun(t)
	if _, err := o.exchange([]byte("{")); err == nil {
		t.Error("it was answered")
	}
	<-o.reaped
	if o.process.ProcessState.Success() {
		t.Error("it does not say that it has failed")
	}
}
