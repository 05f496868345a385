package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// migrateFunc is what a Handler runs.
type migrateFunc = func(context.Context, *MigrateRequest, func(Progress)) (*Result, error)

func request() *MigrateRequest { return &MigrateRequest{Guest: "web1", Peer: "host-b"} }

// untilCancelled begins, waits for its context and says so.
func untilCancelled(began chan<- struct{}) migrateFunc {
	return func(ctx context.Context, _ *MigrateRequest, report func(Progress)) (*Result, error) {
		report(Progress{Phase: PhaseMemory})
		close(began)
		<-ctx.Done()
		return &Result{Outcome: Cancelled, Message: "web1 goes on at host-a"}, nil
	}
}

func TestMigrate(t *testing.T) {
	want := &MigrateRequest{Guest: "web1", Peer: "host-b", CopyStorage: CopyAll, PostCopy: true, Bandwidth: 100, TLS: Yes}
	socket := serve(t, &Handler{Migrate: func(_ context.Context, req *MigrateRequest, report func(Progress)) (*Result, error) {
		if !reflect.DeepEqual(req, want) {
			t.Errorf("the daemon got %+v, want %+v", req, want)
		}
		for i := range 10 {
			report(Progress{Phase: PhaseMemory, Processed: uint64(i)})
		}
		report(Progress{Phase: PhaseFinish, Percent: math.NaN()})
		return &Result{Outcome: Moved, Carried: 1 << 40, Downtime: time.Millisecond}, nil
	}})
	var got []Progress
	res, err := New(socket).Migrate(t.Context(), nil, want, func(p Progress) { got = append(got, p) })
	if err != nil {
		t.Fatal(err)
	}
	if res.Outcome != Moved || res.Carried != 1<<40 || res.Downtime != time.Millisecond {
		t.Errorf("result %+v", res)
	}
	if len(got) != 11 || got[9].Processed != 9 || got[10].Phase != PhaseFinish {
		t.Errorf("progress %+v, want eleven in order", got)
	}
}

// Half-closing is how a caller cancels: the daemon's context ends, and the result still arrives.
func TestCancelIsAnsweredWithTheResult(t *testing.T) {
	began, cancel := make(chan struct{}), make(chan struct{})
	socket := serve(t, &Handler{Migrate: untilCancelled(began)})
	go func() {
		<-began
		close(cancel)
	}()
	res, err := New(socket).Migrate(t.Context(), cancel, request(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.Outcome != Cancelled {
		t.Errorf("outcome %q, want %q", res.Outcome, Cancelled)
	}
}

// A daemon that has not answered anything yet can be told as well.
func TestCancelBeforeTheAnswer(t *testing.T) {
	cancel := make(chan struct{})
	socket := serve(t, &Handler{Migrate: func(ctx context.Context, _ *MigrateRequest, _ func(Progress)) (*Result, error) {
		close(cancel)
		<-ctx.Done()
		return &Result{Outcome: Cancelled}, nil
	}})
	res, err := New(socket).Migrate(t.Context(), cancel, request(), nil)
	if err != nil || res.Outcome != Cancelled {
		t.Errorf("got %+v, %v", res, err)
	}
}

func TestContextLeavesAtOnce(t *testing.T) {
	began, aborted := make(chan struct{}), make(chan struct{})
	socket := serve(t, &Handler{Migrate: func(ctx context.Context, _ *MigrateRequest, report func(Progress)) (*Result, error) {
		report(Progress{Phase: PhaseMemory})
		close(began)
		<-ctx.Done()
		close(aborted)
		return &Result{Outcome: Cancelled}, nil
	}})
	ctx, leave := context.WithCancelCause(t.Context())
	go func() {
		<-began
		leave(errors.New("interrupted twice"))
	}()
	_, err := New(socket).Migrate(ctx, nil, request(), nil)
	if !errors.Is(err, ErrNoResult) || !strings.Contains(fmt.Sprint(err), "interrupted twice") {
		t.Errorf("error %v, want ErrNoResult with its cause", err)
	}
	select {
	case <-aborted:
	case <-time.After(10 * time.Second):
		t.Error("the daemon did not learn that its caller is gone")
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		code int
	}{
		{"wrong use", WrongUse("host-x is not configured"), 400},
		{"full", &Error{Code: 409, Message: "draining"}, 409},
		{"any other", errors.New("libvirt is not there"), 500},
		{"wrapped", fmt.Errorf("open: %w", &Error{Code: 409, Message: "draining"}), 409},
	} {
		t.Run(c.name, func(t *testing.T) {
			socket := serve(t, &Handler{Migrate: func(context.Context, *MigrateRequest, func(Progress)) (*Result, error) {
				return nil, c.err
			}})
			_, err := New(socket).Migrate(t.Context(), nil, request(), nil)
			var refused *Error
			if !errors.As(err, &refused) || refused.Code != c.code || refused.Message != c.err.Error() {
				t.Errorf("got %#v, want %d %q", err, c.code, c.err)
			}
			if errors.Is(err, ErrNoResult) {
				t.Error("a refusal counts as an unknown outcome")
			}
		})
	}
}

// Once something was started there is no refusing any more.
func TestErrorAfterTheBeginningIsAResult(t *testing.T) {
	socket := serve(t, &Handler{Migrate: func(_ context.Context, _ *MigrateRequest, report func(Progress)) (*Result, error) {
		report(Progress{Phase: PhaseConnect})
		return nil, errors.New("host-b does not answer")
	}})
	res, err := New(socket).Migrate(t.Context(), nil, request(), nil)
	if err != nil || res.Outcome != Failed || res.Message != "host-b does not answer" {
		t.Errorf("got %+v, %v", res, err)
	}
}

func TestRequestsThatTheServerRefuses(t *testing.T) {
	socket := serve(t, &Handler{
		Status: func() *Status { return new(Status) },
		Migrate: func(context.Context, *MigrateRequest, func(Progress)) (*Result, error) {
			t.Error("a bad request was run")
			return nil, nil
		},
	})
	for _, c := range []struct {
		method, path, body string
		code               int
		says               string
	}{
		{"POST", "/v1/migrate", `{"guest":"a","peer":"b","turbo":true}`, 400, "turbo"},
		{"POST", "/v1/migrate", `{"guest":"a","peer":"b"}{}`, 400, "more than one"},
		{"POST", "/v1/migrate", `{"guest":"a"}`, 400, "name a peer"},
		{"POST", "/v1/migrate", `nonsense`, 400, "not understood"},
		{"POST", "/v1/migrate", ``, 400, "not understood"},
		{"POST", "/v1/migrate", `{"guest":"` + strings.Repeat("a", MaxRequest) + `"}`, 400, "too large"},
		{"GET", "/v1/migrate", ``, 405, "does not take GET"},
		{"POST", "/v1/status", ``, 405, "does not take POST"},
		{"GET", "/v2/status", ``, 404, "different versions"},
	} {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", c.method, c.path, len(c.body), c.body)
		answer, _ := io.ReadAll(conn)
		conn.Close()
		if want := fmt.Sprintf("HTTP/1.1 %d ", c.code); !strings.HasPrefix(string(answer), want) || !strings.Contains(string(answer), c.says) {
			t.Errorf("%s %s %.40q: %.300q, want %d and %q", c.method, c.path, c.body, answer, c.code, c.says)
		}
	}
}

// What comes from a daemon that is broken, or is none.
func TestBrokenAnswers(t *testing.T) {
	for _, c := range []struct{ name, body, says string }{
		{"ends early", `{"progress":{"phase":"memory"}}` + "\n", "ended the connection"},
		{"cut line", `{"progress":{"pha`, "not JSON"},
		{"no JSON", "hello\n", "not JSON"},
		{"endless line", strings.Repeat("x", MaxLine+1), "longer than"},
		{"nothing", "", "ended the connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			socket := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, c.body)
			}))
			_, err := New(socket).Migrate(t.Context(), nil, request(), nil)
			if !errors.Is(err, ErrNoResult) || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("error %v, want ErrNoResult and %q", err, c.says)
			}
		})
	}
	t.Run("killed", func(t *testing.T) {
		socket := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			writeEvent(w, &Event{Progress: &Progress{Phase: PhaseMemory}})
			panic(http.ErrAbortHandler) // which net/http does not log
		}))
		_, err := New(socket).Migrate(t.Context(), nil, request(), nil)
		if !errors.Is(err, ErrNoResult) || !strings.Contains(fmt.Sprint(err), "did it crash") {
			t.Errorf("error %v", err)
		}
	})
}

func TestLongestLine(t *testing.T) {
	line := `{"result":{"outcome":"moved","message":"`
	for n, ok := range map[int]bool{MaxLine - 1: true, MaxLine: false} {
		fill := n - len(line) - len(`"}}`)
		res, err := events(strings.NewReader(line+strings.Repeat("x", fill)+`"}}`+"\n"), nil)
		if (err == nil) != ok || ok && len(res.Result.Message) != fill {
			t.Errorf("line of %d bytes: %v", n, err)
		}
	}
}

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	twice := make(chan struct{})
	socket := serve(t, &Handler{Migrate: func(ctx context.Context, _ *MigrateRequest, report func(Progress)) (*Result, error) {
		report(Progress{Phase: PhaseMemory, Processed: 7})
		select {
		case <-twice:
		case <-time.After(5 * Heartbeat):
		}
		return &Result{Outcome: Moved}, nil
	}})
	var got []Progress
	if _, err := New(socket).Migrate(t.Context(), nil, request(), func(p Progress) {
		if got = append(got, p); len(got) == 2 {
			close(twice)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[1].Processed != 7 {
		t.Errorf("progress %+v, want the one line twice", got)
	}
}

// A caller that does not read holds up nothing but its own answer.
func TestClientThatDoesNotRead(t *testing.T) {
	returned := make(chan struct{})
	socket := serve(t, &Handler{Migrate: func(_ context.Context, _ *MigrateRequest, report func(Progress)) (*Result, error) {
		defer close(returned)
		for range 50_000 {
			report(Progress{Phase: strings.Repeat("m", 1000)})
		}
		return &Result{Outcome: Moved}, nil
	}})
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body, _ := json.Marshal(request())
	fmt.Fprintf(conn, "POST /v1/migrate HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	select {
	case <-returned:
	case <-time.After(10 * time.Second):
		t.Error("the migration waits for a client that does not read")
	}
}

// A fault in one migration ends that one: the client learns that no one knows,
// and no goroutine goes on writing to it.
func TestPanic(t *testing.T) {
	socket := serve(t, &Handler{Migrate: func(_ context.Context, _ *MigrateRequest, report func(Progress)) (*Result, error) {
		report(Progress{Phase: PhaseMemory})
		panic(http.ErrAbortHandler) // which net/http does not log
	}})
	if _, err := New(socket).Migrate(t.Context(), nil, request(), nil); !errors.Is(err, ErrNoResult) {
		t.Errorf("error %v, want ErrNoResult", err)
	}
}

// Requests leave no descriptor behind, however they end.
func TestNoDescriptorsLeft(t *testing.T) {
	began := make(chan struct{})
	socket := serve(t, &Handler{Status: func() *Status { return new(Status) }, Migrate: untilCancelled(began)})
	before := descriptors(t)
	for range 20 {
		if _, err := New(socket).Status(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-began
		leave()
	}()
	New(socket).Migrate(ctx, nil, request(), nil)
	// The server closes its end some time after the client's; nothing tells but looking.
	late := time.After(5 * time.Second)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for descriptors(t) > before {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("%d descriptors before, %d after", before, descriptors(t))
		}
	}
}

func descriptors(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
