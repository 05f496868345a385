package nbd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/needs"
)

// patience is longer than anything here takes on a busy machine.
const patience = 20 * time.Second

// option is an NBD client's, with its data.
func option(kind byte, data string) string {
	return "IHAVEOPT\x00\x00\x00" + string([]byte{kind, 0, 0, byte(len(data) >> 8), byte(len(data))}) + data
}

const (
	greeting = "NBDMAGICIHAVEOPT\x00\x03"
	fixed    = "\x00\x00\x00\x03" // a client's flags
)

// pair are the two ends of a unix socket.
func pair(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = c.(*net.UnixConn)
	}
	return ends[0], ends[1]
}

// dialogue plays what a peer says, all at once and then its end, and returns what it was told.
func dialogue(t testing.TB, says string, exchange func(context.Context, net.Conn) error) (told []byte, err error) {
	t.Helper()
	ours, theirs := pair(t)
	defer theirs.Close()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("it waits for ever"))
	defer cancel()
	said := make(chan struct{})
	go func() {
		defer close(said)
		io.WriteString(theirs, says)
		theirs.CloseWrite()
	}()
	err = exchange(ctx, ours)
	ours.Close()
	<-said
	told, _ = io.ReadAll(theirs)
	return told, err
}

func TestClients(t *testing.T) {
	ack, required := "\x00\x03\xe8\x89\x04\x55\x65\xa9\x00\x00\x00\x05\x00\x00\x00\x01\x00\x00\x00\x00", "\x00\x03\xe8\x89\x04\x55\x65\xa9\x00\x00\x00\x07\x80\x00\x00\x05\x00\x00\x00\x00"
	for _, c := range []struct {
		name, says, told, err string
	}{
		{"STARTTLS", fixed + option(5, ""), ack, ""},
		{"another option first", fixed + option(7, "\x00\x00\x00\x04disk\x00\x00") + option(5, ""), required + ack, ""},
		{"no newstyle", "\x00\x00\x00\x00" + option(5, ""), "", "is it an NBD client?"},
		{"unknown flags", "\x00\x00\x00\x07" + option(5, ""), "", "is it an NBD client?"},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", "", "is it an NBD client?"},
		{"no option", fixed + "IHAVEOPX" + option(5, ""), "", "not an NBD option"},
		{"a long option", fixed + "IHAVEOPT\x00\x00\x00\x07\x00\x00\x10\x01", "", "not an NBD option"},
		{"the end", fixed, "", "closed"},
		{"no TLS at all", fixed + string(bytes.Repeat([]byte(option(7, "")), maxTries)), string(bytes.Repeat([]byte(required), maxTries)), "does not ask for TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			told, err := dialogue(t, c.says, func(ctx context.Context, conn net.Conn) error {
				flags, err := GreetClient(ctx, conn, true)
				if err == nil && flags != knownFlags {
					t.Errorf("flags %#x", flags)
				}
				return err
			})
			if !needs.ErrorSays(err, c.err) || string(told) != greeting+c.told {
				t.Errorf("%v; told %q", err, told)
			}
		})
	}
}

func TestServers(t *testing.T) {
	reply := "\x00\x03\xe8\x89\x04\x55\x65\xa9\x00\x00\x00\x05"
	for _, c := range []struct{ name, says, err string }{
		{"good", greeting + reply + "\x00\x00\x00\x01\x00\x00\x00\x00", ""},
		{"oldstyle", "NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53\x00\x03", "does not greet as an NBD server"},
		{"SSH", "SSH-2.0-OpenSSH_9.2p1 Debian-2", "does not greet as an NBD server"},
		{"lacks a flag", "NBDMAGICIHAVEOPT\x00\x01", "lack 0x2"},
		{"no TLS", greeting + reply + "\x80\x00\x00\x02\x00\x00\x00\x04none", `refuses TLS (NBD reply 0x80000002) "none"`},
		{"a long answer", greeting + reply + "\x80\x00\x00\x02\x00\x00\x10\x01", "did not answer NBD_OPT_STARTTLS"},
		{"another option's", greeting + "\x00\x03\xe8\x89\x04\x55\x65\xa9\x00\x00\x00\x07\x00\x00\x00\x01\x00\x00\x00\x00", "did not answer NBD_OPT_STARTTLS"},
		{"the end", greeting, "closed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			told, err := dialogue(t, c.says, func(ctx context.Context, conn net.Conn) error { return GreetServer(ctx, conn, knownFlags, true) })
			if !needs.ErrorSays(err, c.err) || len(told) > 0 && string(told) != fixed+option(5, "") {
				t.Errorf("%v; told %q", err, told)
			}
		})
	}
}

// A silent peer is waited for as long as the context says.
func TestSilence(t *testing.T) {
	ours, theirs := pair(t)
	defer ours.Close()
	defer theirs.Close()
	late := errors.New("late")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, late)
	defer cancel()
	if err := GreetServer(ctx, ours, knownFlags, true); !errors.Is(err, late) {
		t.Error(err)
	}
}

// Whatever a stranger sends ends in an answer or an error, and is never taken
// for a wish for TLS that it is not.
func FuzzClient(f *testing.F) {
	for _, s := range []string{fixed + option(5, ""), fixed + option(7, "disk") + option(5, ""), fixed + option(2, ""), "GET / HTTP/1.1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, says []byte) {
		_, err := dialogue(t, string(says), func(ctx context.Context, c net.Conn) error {
			_, err := GreetClient(ctx, c, true)
			return err
		})
		if err == nil && !bytes.Contains(says, []byte(option(5, "")[:12])) {
			t.Errorf("%q was taken for a wish for TLS", says)
		}
	})
}

// FuzzServer: whatever a server sends in place of a greeting ends in a yes or an error, and a yes
// to TLS is one that it has said.
func FuzzServer(f *testing.F) {
	reply := greeting + "\x00\x03\xe8\x89\x04\x55\x65\xa9\x00\x00\x00\x05"
	for _, s := range []string{reply + "\x00\x00\x00\x01\x00\x00\x00\x00", reply + "\x80\x00\x00\x02\x00\x00\x00\x04none", reply + "\x80\x00\x00\x02\xff\xff\xff\xff", "NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53\x00\x03"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, says []byte) {
		_, err := dialogue(t, string(says), func(ctx context.Context, c net.Conn) error { return GreetServer(ctx, c, knownFlags, true) })
		if yes := reply + "\x00\x00\x00\x01\x00\x00\x00\x00"; err == nil && (len(says) < len(yes) || string(says[18:len(yes)]) != yes[18:]) {
			t.Errorf("%q was taken for a yes to TLS", says)
		}
	})
}
