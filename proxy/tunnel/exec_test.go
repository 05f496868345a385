package tunnel

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
)

func command(text string) spec.Address { return spec.Address{Kind: spec.Exec, At: text} }

// A command is the target: both directions, half-close, and its end's status.
func TestExecTarget(t *testing.T) {
	s := newSite(t)
	data := make([]byte, 3<<20+1)
	rand.Read(data)
	for i, c := range []struct {
		command string
		want    string // what comes back for data
		err     string
		fate    string
	}{
		{"sha256sum", fmt.Sprintf("%x  -\n", sha256.Sum256(data)), "", "status 0"},
		{"cat", string(data), "", "status 0"},
		{`sh -c 'wc -c; echo "what I say" >&2'`, fmt.Sprintf("%d\n", len(data)), "", "status 0; its last words: what I say"},
	} {
		r := serve(t, Options{Spec: spec.Spec{Listen: s.path(fmt.Sprint("in", i)), To: command(c.command)}})
		client := dial(t, r.Address())
		go func() {
			client.Write(data)
			client.CloseWrite()
		}()
		if got, err := io.ReadAll(client); err != nil || string(got) != c.want {
			t.Errorf("%s: %d bytes, %v", c.command, len(got), err)
		}
		rep := r.end()
		if !needs.ErrorSays(rep.Err, c.err) || rep.Command != c.fate || rep.Path != "copy" {
			t.Errorf("%s: %+v", c.command, rep)
		}
	}
}

// A command that fails has not served its client, who sees a reset and never an orderly end.
func TestExecFails(t *testing.T) {
	for _, c := range []struct{ command, want string }{
		{`sh -c 'printf half; echo one >&2; echo "no space left" >&2; exit 3'`, "the command ended with status 3; its last words: one | no space left"},
		{`sh -c 'printf half; kill -9 $$'`, "the command ended with signal: killed"},
		{`sh -c 'printf half; exec <&-; exit 4'`, "status 4"},
		{"/nonexistent/program", "no such file"},
	} {
		r := serve(t, Options{Spec: spec.Spec{Listen: loopback(spec.TCP), To: command(c.command)}})
		client, err := net.DialTimeout("tcp", r.Address().At, patience)
		if err == nil { // else the reset was faster
			if _, err := io.ReadAll(own(t, client)); err == nil {
				t.Errorf("%s: the client sees an orderly end", c.command)
			}
		}
		if rep := r.end(); !needs.ErrorSays(rep.Err, c.want) {
			t.Errorf("%s: %v", c.command, rep.Err)
		}
	}
}

// A command whose stream breaks is killed before its input ends: it must not
// take what it has got for all.
func TestExecKilled(t *testing.T) {
	s := newSite(t)
	done := s.path("done").At
	r := serve(t, Options{Spec: spec.Spec{Listen: loopback(spec.TCP), To: command(fmt.Sprintf(`sh -c 'echo $$; cat >/dev/null; touch %s'`, done))}})
	client := dial(t, r.Address())
	line := make([]byte, 16)
	n, err := client.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	if err != nil {
		t.Fatal(err)
	}
	client.Write([]byte("half"))
	client.(interface{ SetLinger(int) error }).SetLinger(0)
	client.Close()
	if rep := r.end(); rep.Err == nil || rep.Command != "signal: killed" {
		t.Errorf("%+v", rep)
	}
	if alive(pid) {
		t.Error("it is there yet")
	}
	if _, err := os.Stat(done); err == nil {
		t.Error("it took a broken stream for a complete one")
	}
}

// A tunnel that gives up is not taken for the stream's end, however much it had
// carried by then, where the end needs no close_notify.
func TestExecOfBrokenStream(t *testing.T) {
	s := newSite(t)
	for i, n := range []int{1000, 64 << 20} {
		done := s.path(fmt.Sprint("done", i)).At
		second := serve(t, Options{
			Spec: spec.Spec{
				Listen: loopback(spec.TLS), To: command(fmt.Sprintf("sh -c 'cat >/dev/null; touch %s'", done)),
				Allow: names(t, "host-a"), LaxEnd: true,
			},
			Credentials: s.host(s.ca, "host-b"),
		})
		first := serve(t, Options{
			Spec: spec.Spec{
				Listen: s.path(fmt.Sprint("in", i)), To: second.Address(), Limits: spec.Limits{Idle: 2 * time.Second},
				Names: names(t, "host-b"), LaxEnd: true,
			},
			Credentials: s.host(s.ca, "host-a"),
		})
		client := dial(t, first.Address())
		if _, err := client.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if rep := first.end(); !needs.ErrorSays(rep.Err, "not a byte has moved for 2s") {
			t.Errorf("after %d bytes: %v", n, rep.Err)
		}
		if rep := second.end(); !needs.ErrorSays(rep.Err, "connection reset") || rep.Command != "signal: killed" || rep.Sent != int64(n) {
			t.Errorf("after %d bytes the other tunnel says %+v", n, rep)
		}
		if _, err := os.Stat(done); err == nil {
			t.Errorf("after %d bytes the command took a broken stream for a complete one", n)
		}
	}
}

// A command that ends its output goes on reading, and one that leaves children
// behind takes them with it.
func TestExecHalfClose(t *testing.T) {
	s := newSite(t)
	got := s.path("got").At
	r := serve(t, Options{Spec: spec.Spec{Listen: s.path("in"), To: command(fmt.Sprintf(`sh -c 'echo hello; exec >&-; cat >%s; sleep 1000 & echo $! >>%s'`, got, got))}})
	client := dial(t, r.Address())
	if b, err := io.ReadAll(client); err != nil || string(b) != "hello\n" {
		t.Fatalf("%q, %v", b, err)
	}
	client.Write([]byte("after its end "))
	client.CloseWrite()
	if rep := r.end(); rep.Err != nil || rep.Command != "status 0" {
		t.Errorf("%+v", rep)
	}
	text, _ := os.ReadFile(got)
	rest, ok := bytes.CutPrefix(text, []byte("after its end "))
	pid, err := strconv.Atoi(strings.TrimSpace(string(rest)))
	if !ok || err != nil {
		t.Fatalf("it has read %q", text)
	}
	// init may take a moment to reap it.
	for end := time.Now().Add(patience); alive(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what it left behind is there yet")
		}
	}
}

func alive(pid int) bool {
	state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(state), ") Z ")
}

// To listen to a command is one connection, from the start; Serve ends with it and has its error.
func TestExecListens(t *testing.T) {
	s := newSite(t)
	l, to := target(t, s.path("out"))
	for _, c := range []struct{ command, want, err string }{
		{"echo hello", "hello\n", ""},
		{`sh -c 'echo hello; cat >/dev/null; exit 7'`, "hello\n", "status 7"},
	} {
		r := serve(t, Options{Spec: spec.Spec{Listen: command(c.command), To: to}})
		server := accept(t, l)
		wantRead(t, server, c.want)
		server.Close()
		if err := <-r.over; !needs.ErrorSays(err, c.err) {
			t.Errorf("%s: Serve returns %v", c.command, err)
		}
		if rep := r.end(); rep.From != "exec:"+c.command || !needs.ErrorSays(rep.Err, c.err) {
			t.Errorf("%+v", rep)
		}
	}
	r := serve(t, Options{Spec: spec.Spec{Listen: command("/nonexistent"), To: to}})
	if err := <-r.over; !needs.ErrorSays(err, "no such file") {
		t.Errorf("Serve returns %v", err)
	}
}

// One command to another.
func TestExecBoth(t *testing.T) {
	s := newSite(t)
	got := s.path("got").At
	r := serve(t, Options{Spec: spec.Spec{Listen: command("seq 100000"), To: command("sh -c 'sha256sum >" + got + "'")}})
	if err := <-r.over; err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	for i := 1; i <= 100000; i++ {
		fmt.Fprintln(&want, i)
	}
	if text, _ := os.ReadFile(got); string(text) != fmt.Sprintf("%x  -\n", sha256.Sum256(want.Bytes())) {
		t.Errorf("got %q", text)
	}
}
