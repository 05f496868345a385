package history

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/needs"
	"github.com/virt-sluice/sluice/proxy/control"
)

// takesPart has this test's program be another process of a host's sluice: what it does is the
// variable's value.
const takesPart, partFolder = "SLUICE_HISTORY_PART", "SLUICE_HISTORY_FOLDER"

func TestMain(m *testing.M) {
	s := &Store{Folder: os.Getenv(partFolder), Patience: patience}
	switch os.Getenv(takesPart) {
	case "":
		os.Exit(m.Run())
	case "write": // until it is killed
		for i := 0; ; i++ {
			r := record(fmt.Sprintf("w%07d", i), "web", 0, control.Moved)
			r.Ended = time.Now()
			if err := s.Write(Change{Process: "other", Ended: []*control.SessionRecord{r}, Live: []*control.SessionRecord{record("live", "db", 0, "")}}, Bounds{Sessions: 50}); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			fmt.Println(r.ID)
		}
	case "hold": // the file, as one that hangs
		db, err := bbolt.Open(s.File(), 0o600, nil)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("holds it")
		var forever sync.WaitGroup
		forever.Add(1)
		db.Update(func(*bbolt.Tx) error { forever.Wait(); return nil })
	}
}

// other starts another process, and returns once it has said something. ended waits until it is gone,
// and is all that it has said.
func other(t *testing.T, s *Store, part string) (cmd *exec.Cmd, ended func() string) {
	t.Helper()
	cmd = exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), takesPart+"="+part, partFolder+"="+s.Folder)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	out := new(bytes.Buffer)
	first := make([]byte, 4096)
	n, err := r.Read(first)
	if err != nil {
		t.Fatalf("the other process: %v", err)
	}
	out.Write(first[:n])
	done := make(chan struct{})
	go func() { out.ReadFrom(r); close(done) }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		<-done
		r.Close()
	})
	return cmd, func() string {
		cmd.Wait()
		<-done
		return out.String()
	}
}

// Two processes write at once, and one of them is killed in the middle, again and again. All that it
// has said was written is there.
func TestKilledWriter(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for turn := range 10 {
		cmd, ended := other(t, s, "write")
		for i := range 5 {
			r := record(fmt.Sprintf("own%d-%d", turn, i), "mail", 0, control.Moved)
			r.Ended = time.Now()
			s.mustWrite(t, Change{Process: "own", Ended: []*control.SessionRecord{r}}, Bounds{})
		}
		cmd.Process.Kill()
		said := strings.Fields(ended())
		if _, err := s.Adopt(func(string) bool { return true }, nil); err != nil { // and the file is sound
			t.Fatalf("turn %d: %v", turn, err)
		}
		all := s.mustList(t, &control.HistoryQuery{Limit: 50})
		if len(all) == 0 {
			t.Fatalf("turn %d: nothing is there", turn)
		}
		if last := said[len(said)-1]; len(last) == 8 { // it may have been killed in the middle of a word
			if r, err := s.Find(last); err != nil || r == nil {
				t.Fatalf("turn %d: %s, which was written, is not there: %v", turn, last, err)
			}
		}
	}
}

// A process that hangs with the file keeps nobody for longer than is said, and all goes on once it
// has gone.
func TestHeldByAnother(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	r := record("a", "web", 0, control.Moved)
	s.mustWrite(t, Change{Process: "p", Ended: []*control.SessionRecord{r}}, Bounds{})
	cmd, _ := other(t, s, "hold")
	s.Patience = 0
	began := time.Now()
	err := s.Write(Change{Process: "p"}, Bounds{})
	if took := time.Since(began); err == nil || took > 6*DefaultPatience { // on a busy machine
		t.Errorf("%v after %v", err, took)
	}
	s.Patience = patience
	cmd.Process.Kill()
	cmd.Wait()
	s.mustWrite(t, Change{Process: "p"}, Bounds{})
	if all := s.mustList(t, &control.HistoryQuery{}); len(all) != 1 {
		t.Errorf("%+v", all)
	}
}

// filled is a store's file with some sessions in it.
func filled(t *testing.T) []byte {
	t.Helper()
	s := newStore(t)
	for i := range 40 {
		r := record(fmt.Sprintf("session%02d", i), "web", i, control.Moved)
		for range 100 {
			r.Samples.At = append(r.Samples.At, int64(i))
		}
		s.mustWrite(t, Change{Process: "p", Ended: []*control.SessionRecord{r}, Live: []*control.SessionRecord{record("live", "db", 0, "")}}, Bounds{})
	}
	content, err := os.ReadFile(s.File())
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Whatever is wrong with a file, the daemon goes on: it reads what it can, or sets the file aside and
// begins anew, and what is written afterwards is there.
func TestDamaged(t *testing.T) {
	t.Parallel()
	content := filled(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	cases := map[string][]byte{
		"empty": {}, "text": []byte("no database\n"), "zeroes": make([]byte, len(content)), "one page": content[:4096],
		"truncated": content[:len(content)/2], "a byte short": content[:len(content)-1], "meta pages alone": content[:2*4096],
	}
	for i := range 150 {
		broken := bytes.Clone(content)
		for range 1 + random.IntN(40) {
			broken[random.IntN(len(broken))] = byte(random.Uint32())
		}
		cases[fmt.Sprintf("bytes %d", i)] = broken
	}
	for i := range 50 {
		broken := bytes.Clone(content)
		page := random.IntN(len(broken)/4096) * 4096
		copy(broken[page:], broken[random.IntN(len(broken)/4096)*4096:][:4096]) // a page in another's place
		cases[fmt.Sprintf("page %d", i)] = broken
	}
	for name, broken := range cases {
		s := &Store{Folder: t.TempDir(), Patience: patience}
		asides := 0
		s.Aside = func(string, error) { asides++ }
		if err := os.WriteFile(s.File(), broken, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Adopt(func(string) bool { return false }, func(*control.SessionRecord) bool { return true }); err != nil {
			t.Errorf("%s: adopt: %v", name, err)
		}
		if _, err := s.List(&control.HistoryQuery{}); err != nil {
			t.Errorf("%s: read: %v", name, err)
		}
		r := record("new00000", "new", 0, control.Moved)
		if err := s.Write(Change{Process: "q", Ended: []*control.SessionRecord{r}}, Bounds{Sessions: 1000}); err != nil {
			t.Errorf("%s: write: %v", name, err)
		}
		if found, err := s.Find("new00000"); err != nil || found == nil {
			t.Errorf("%s: what is written afterwards: %v, %v", name, found, err)
		}
		if _, err := os.Stat(s.File() + damagedSuffix); (err == nil) != (asides > 0) {
			t.Errorf("%s: set aside %d times, and %v", name, asides, err)
		}
	}
}

// On a full disk a write fails and nothing that was there is lost; when there is room again it goes on.
func TestFullDisk(t *testing.T) {
	needs.Root(t, "to mount a small file system")
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k,mode=0700"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	s := &Store{Folder: dir, Patience: patience, Aside: func(name string, damage error) { t.Errorf("%s was set aside: %v", name, damage) }}
	s.mustWrite(t, Change{Process: "p", Ended: []*control.SessionRecord{record("first000", "web", 0, control.Moved)}}, Bounds{})
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	f.Close()
	for i := range 20 {
		var big []*control.SessionRecord
		for j := range 20 {
			r := record(fmt.Sprintf("full%d-%d", i, j), "web", i, control.Failed)
			r.Cause = strings.Repeat("x", 4096)
			big = append(big, r)
		}
		err = s.Write(Change{Process: "p", Ended: big}, Bounds{})
		if err == nil || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("on a full disk: %v", err)
		}
	}
	if found, err := s.Find("first000"); err != nil || found == nil {
		t.Errorf("what was there: %v, %v", found, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.mustWrite(t, Change{Process: "p", Ended: []*control.SessionRecord{record("after000", "web", 1, control.Moved)}}, Bounds{})
	if all := s.mustList(t, &control.HistoryQuery{}); len(all) != 2 {
		t.Errorf("%+v", all)
	}
}

// A folder that can't be written to, or made, is an error that names the file.
func TestNotWritable(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Store{Folder: filepath.Join(dir, "file", "state")}
	if err := s.Write(Change{Process: "p"}, Bounds{}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v", err)
	}
	needs.Root(t, "to mount a small file system")
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	s = &Store{Folder: dir}
	if err := s.Write(Change{Process: "p"}, Bounds{}); !errors.Is(err, syscall.EROFS) {
		t.Errorf("on a disk that is read-only: %v", err)
	}
	if all, err := s.List(&control.HistoryQuery{}); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}
