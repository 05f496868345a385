package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStatus(t *testing.T) {
	want := &Status{Name: "host-a", Started: time.Unix(1_700_000_000, 0).UTC(), Peers: []PeerStatus{{Name: "host-b", Names: []string{"host-b"}}},
		Sessions: []SessionStatus{{ID: "1", Guest: "web1", Channels: []ChannelStatus{{Name: "memory-0", Open: true}}}}}
	got, err := New(serve(t, &Handler{Status: func() *Status { return want }})).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestStatusOfAnotherProgram(t *testing.T) {
	socket := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }))
	if _, err := New(socket).Status(t.Context()); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("error %v", err)
	}
	// Something that answers nothing ends with the caller's patience, and says why.
	release := make(chan struct{})
	defer close(release)
	socket = serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	ctx, stop := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("patience"))
	defer stop()
	if _, err := New(socket).Status(ctx); err == nil || !strings.Contains(err.Error(), "patience") {
		t.Errorf("error %v", err)
	}
}

func TestDaemonNotThere(t *testing.T) {
	absent := tempSocket(t)
	stale := tempSocket(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for _, socket := range []string{absent, stale} {
		_, err := New(socket).Migrate(t.Context(), nil, request(), nil)
		if err == nil || errors.Is(err, ErrNoResult) || !strings.Contains(err.Error(), socket) || !strings.Contains(err.Error(), "sluice serve") {
			t.Errorf("%s: error %v", socket, err)
		}
	}
}

func TestPermission(t *testing.T) {
	socket := serve(t, http.NotFoundHandler())
	if err := os.Chmod(socket, 0); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error)
	go func() {
		// Root may connect to anything, so this thread stops being root. It is
		// not unlocked, and so ends with the goroutine.
		runtime.LockOSThread()
		if os.Geteuid() == 0 {
			if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, 65534, 65534, 65534); e != 0 {
				errs <- e
				return
			}
		}
		_, err := New(socket).Status(context.Background())
		errs <- err
	}()
	err := <-errs
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != http.StatusForbidden || !strings.Contains(err.Error(), "users") {
		t.Errorf("error %v", err)
	}
}
