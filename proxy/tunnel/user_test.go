package tunnel

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
)

// Whoever may connect no longer is not carried either by what waits in the socket's queue.
func TestFormerUser(t *testing.T) {
	needs.Root(t, "to connect as another user")
	s := newSite(t)
	if err := os.Chmod(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	was, is := 4242, 4343
	l, to := target(t, s.path("out"))
	l2, to2 := target(t, s.path("out2"))
	opts := Options{Spec: spec.Spec{Listen: s.path("in"), To: to, SocketUser: &was, Limits: spec.Limits{Connections: 1}}}
	troubles := make(chan error, 10)
	opts.Trouble = func(err error) { troubles <- err }
	r := serve(t, opts)
	holds := dial(t, r.Address()) // the one place
	accept(t, l)
	waits, err := dialAs(was, r.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer waits.Close()
	waits.SetDeadline(time.Now().Add(patience))

	opts = r.now.Load().opts
	opts.To, opts.SocketUser = to2, &is
	take, err := r.Change(opts)
	if err == nil {
		err = take()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dialAs(was, r.Address()); err == nil {
		t.Error("the former user can connect")
	}
	if n, err := waits.Read(make([]byte, 1)); err == nil || needs.ErrorSays(err, "timeout") {
		t.Errorf("the former user reads %d bytes, %v", n, err)
	}
	now, err := dialAs(is, r.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer now.Close()
	now.Write([]byte("x"))
	wantRead(t, accept(t, l2), "x") // and not the one that waited
	if err := <-troubles; !needs.ErrorSays(err, "uid 4242 may no longer connect") || len(troubles) > 0 {
		t.Errorf("%v, and %d more", err, len(troubles))
	}
	holds.Close()
}

// Without lists the socket is its user's own; it is taken back from that one, and nothing else is.
func TestTakeBack(t *testing.T) {
	needs.Root(t, "to give a socket away")
	dir := t.TempDir()
	at := filepath.Join(dir, "in")
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chown(at, 4242, -1); err != nil {
		t.Fatal(err)
	}
	if err := takeBack(at); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(at, &st); err != nil || st.Uid != uint32(os.Geteuid()) || st.Mode&0o777 != 0o600 {
		t.Errorf("uid %d, mode %o, %v", st.Uid, st.Mode, err)
	}
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link} {
		if err := takeBack(path); !needs.ErrorSays(err, "no socket any more") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if st, err := os.Stat(file); err != nil || st.Mode() != fs.FileMode(0o644) {
		t.Errorf("the file has mode %v, %v", st.Mode(), err)
	}
}

// dialAs connects as another user, as which one thread of this process runs for that time.
func dialAs(uid int, a spec.Address) (c net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // which is not unlocked: it ends with this function
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); e != 0 {
			err = os.NewSyscallError("setresuid", e)
			return
		}
		c, err = net.Dial(a.Network(), a.At)
	}()
	<-done
	return c, err
}
