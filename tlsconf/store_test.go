package tlsconf

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/virt-sluice/sluice/internal/pki"
	"github.com/virt-sluice/sluice/tlsconf/layout"
)

// watched is a store that runs, and what it tells.
type watched struct {
	*Store
	changed chan *Credentials
	failed  chan error
}

func watch(t *testing.T, search Search) *watched { return poll(t, search, -1) }

func poll(t *testing.T, search Search, every time.Duration) *watched {
	t.Helper()
	w := &watched{changed: make(chan *Credentials, 100), failed: make(chan error, 100)}
	s, err := NewStore(StoreConfig{
		Search: search, Settle: 30 * time.Millisecond, Poll: every,
		Changed: func(c *Credentials) { w.changed <- c },
		Failed:  func(err error) { w.failed <- err },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Store = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	return w
}

// becomes waits for a set with the leaf of p.
func (w *watched) becomes(t *testing.T, p *pki.Pair) {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		select {
		case c := <-w.changed:
			if c.Leaf.Equal(p.Cert) {
				if w.Current() != c {
					t.Error("Current is another set")
				}
				return
			}
		case <-timeout:
			t.Fatal("the new certificate is not taken over")
		}
	}
}

func (w *watched) fails(t *testing.T, want string) {
	t.Helper()
	select {
	case err := <-w.failed:
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "stay in use") {
			t.Errorf("told %v, want %q", err, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the fault is not told")
	}
}

// into puts a pair in the place of f's, by a rename over each file, the certificate first.
func into(t *testing.T, f Files, p *pki.Pair) {
	t.Helper()
	for _, w := range []struct {
		path string
		data []byte
		mode os.FileMode
	}{{f.Cert, p.CertPEM(), 0o644}, {f.Key, keyPEM(t, p), 0o600}} {
		write(t, w.path+".new", w.data, w.mode)
		if err := os.Rename(w.path+".new", w.path); err != nil {
			t.Fatal(err)
		}
	}
}

func keyPEM(t testing.TB, p *pki.Pair) []byte {
	t.Helper()
	key, err := p.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestStoreFollowsRenames(t *testing.T) {
	s := newSite(t)
	f := s.files(s.host("a"), s.ca)
	w := watch(t, Search{Files: f})
	for range 3 { // a watch on the file would be lost with the first
		next := s.host("a")
		into(t, f, next)
		w.becomes(t, next)
	}
}

func TestStoreFollowsWritesInPlace(t *testing.T) {
	s := newSite(t)
	f := s.files(s.host("a"), s.ca)
	w := watch(t, Search{Files: f})
	next := s.host("a")
	write(t, f.Cert, next.CertPEM(), 0o644)
	write(t, f.Key, keyPEM(t, next), 0o600)
	w.becomes(t, next)
}

// TestStoreWaitsForTheSecondStep has a certificate whose key comes later: until then the old pair
// stays.
func TestStoreWaitsForTheSecondStep(t *testing.T) {
	s := newSite(t)
	first, next := s.host("a"), s.host("a")
	f := s.files(first, s.ca)
	w := watch(t, Search{Files: f})
	pem := next.CertPEM()
	write(t, f.Cert, pem[:len(pem)/2], 0o644)
	w.fails(t, "cut off")
	write(t, f.Cert, pem, 0o644)
	w.fails(t, "is not the key of")
	if !w.Current().Leaf.Equal(first.Cert) {
		t.Error("the old pair is gone")
	}
	write(t, f.Key, keyPEM(t, next), 0o600)
	w.becomes(t, next)
}

// TestStoreFollowsSymlinkSwaps is how Kubernetes replaces the files of a volume: key.pem ->
// ..data/key.pem, ..data -> ..1, and then ..data is replaced by a rename.
func TestStoreFollowsSymlinkSwaps(t *testing.T) {
	s := newSite(t)
	dir := t.TempDir()
	volume := func(n string, p *pki.Pair) {
		write(t, filepath.Join(dir, n, "ca.pem"), s.ca.CertPEM(), 0o644)
		write(t, filepath.Join(dir, n, "cert.pem"), p.CertPEM(), 0o644)
		write(t, filepath.Join(dir, n, "key.pem"), keyPEM(t, p), 0o600)
		link(t, n, filepath.Join(dir, "..data_tmp"))
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	volume("..1", s.host("a"))
	f := Files{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for _, path := range []string{f.CA, f.Cert, f.Key} {
		link(t, filepath.Join("..data", filepath.Base(path)), path)
	}
	w := watch(t, Search{Files: f})
	for _, n := range []string{"..2", "..3"} {
		next := s.host("a")
		volume(n, next)
		w.becomes(t, next)
	}
	if err := os.RemoveAll(filepath.Join(dir, "..1")); err != nil {
		t.Fatal(err)
	}
	// Links into another folder, in which a file changes.
	other := t.TempDir()
	next := s.host("a")
	write(t, filepath.Join(other, "c"), next.CertPEM(), 0o644)
	write(t, filepath.Join(other, "k"), keyPEM(t, next), 0o600)
	for name, path := range map[string]string{"c": f.Cert, "k": f.Key} {
		link(t, filepath.Join(other, name), path+".new")
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	w.becomes(t, next)
	next = s.host("a")
	write(t, filepath.Join(other, "c"), next.CertPEM(), 0o644)
	write(t, filepath.Join(other, "k"), keyPEM(t, next), 0o600)
	w.becomes(t, next)
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func TestStoreTellsAFaultOnceAndRecovers(t *testing.T) {
	s := newSite(t)
	f := s.files(s.host("a"), s.ca)
	w := watch(t, Search{Files: f})
	remove(t, f.Key)
	w.fails(t, "no such file")
	for range 3 {
		if err := w.Reload(); err == nil {
			t.Error("Reload took over a set without a key")
		}
	}
	select {
	case err := <-w.failed:
		t.Errorf("told again: %v", err)
	default:
	}
	next := s.host("a")
	into(t, f, next)
	w.becomes(t, next)
	// Without a change SIGHUP reads the files all the same.
	if err := w.Reload(); err != nil {
		t.Error(err)
	}
	if c := <-w.changed; !c.Leaf.Equal(next.Cert) {
		t.Error("another certificate")
	}
}

// TestStoreTakesUpWhatTimeHasMended has a certificate that begins in a moment, as of a CA whose
// clock is ahead: no file changes again.
func TestStoreTakesUpWhatTimeHasMended(t *testing.T) {
	s := newSite(t)
	f := s.files(s.host("a"), s.ca)
	w := poll(t, Search{Files: f}, 50*time.Millisecond)
	next := s.issue(pki.Host{Names: []string{"a"}, NotBefore: time.Now().Add(2 * time.Second)})
	into(t, f, next)
	w.becomes(t, next)
	close(w.failed)
	told := 0
	for err := range w.failed {
		// It may have been seen with the key of the one before it.
		if !strings.Contains(err.Error(), "is not the key of") && strings.Contains(err.Error(), "is not valid before") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}

// TestStoreTellsWhatItCannotWatch has no more watches to be had, as on a host where other programs
// have them all.
func TestStoreTellsWhatItCannotWatch(t *testing.T) {
	s := newSite(t)
	f := s.files(s.host("a"), s.ca)
	var told []string
	st, err := NewStore(StoreConfig{Search: Search{Files: f},
		Changed: func(*Credentials) { told = append(told, "changed") },
		Failed:  func(err error) { told = append(told, err.Error()) },
		Mended:  func() { told = append(told, "mended") }})
	if err != nil {
		t.Fatal(err)
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	w.Close() // which makes Add fail
	good, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close()
	st.refresh(w)
	st.refresh(w)
	if len(told) != 1 || !strings.Contains(told[0], filepath.Dir(f.CA)) || !strings.Contains(told[0], "now and then instead") {
		t.Errorf("told %q", told)
	}
	st.refresh(good)
	st.refresh(good)
	if len(told) != 2 || told[1] != "mended" {
		t.Errorf("told %q", told)
	}
}

func TestStoreTakesUpARevocationList(t *testing.T) {
	s := newSite(t)
	root := t.TempDir()
	p := s.host("a")
	s.install(root, layout.Libvirt, p)
	w := watch(t, Search{Root: root})
	write(t, filepath.Join(root, "etc/pki/CA/cacrl.pem"), s.crl(pki.Revocation{Number: 1}), 0o644)
	w.becomes(t, p)
	if len(w.Current().crls) != 1 {
		t.Error("the list is not there")
	}
}

// TestStoreRollsOverToANewCA renews the CA of two hosts with both CAs in their bundles on the way:
// at no point does a handshake fail.
func TestStoreRollsOverToANewCA(t *testing.T) {
	before, after := newSite(t), newSite(t)
	files := map[string]Files{"a": before.files(before.host("a"), before.ca), "b": before.files(before.host("b"), before.ca)}
	stores := make(map[string]*Store)
	for name, f := range files {
		st, err := NewStore(StoreConfig{Search: Search{Files: f}})
		if err != nil {
			t.Fatal(err)
		}
		stores[name] = st
	}
	shakes := func(step string) {
		t.Helper()
		for _, pair := range [][2]string{{"a", "b"}, {"b", "a"}} {
			client, server := stores[pair[0]].Current(), stores[pair[1]].Current()
			if _, cerr, serr := shake(t, client.clientConfig(rules(t, pair[1]), settings{}), server.serverConfig(settings{})); cerr != nil || serr != nil {
				t.Errorf("%s: %s to %s: %v, %v", step, pair[0], pair[1], cerr, serr)
			}
		}
	}
	both := append(before.ca.CertPEM(), after.ca.CertPEM()...)
	shakes("at first")
	for _, step := range []struct {
		name string
		do   func(host string)
	}{
		{"bundle", func(h string) { write(t, files[h].CA, both, 0o644) }},
		{"certificate", func(h string) { into(t, files[h], after.host(h)) }},
		{"new CA alone", func(h string) { write(t, files[h].CA, after.ca.CertPEM(), 0o644) }},
	} {
		for _, h := range []string{"a", "b"} {
			step.do(h)
			if err := stores[h].Reload(); err != nil {
				t.Fatal(err)
			}
			shakes(step.name + " on " + h)
		}
	}
}

func TestExpiries(t *testing.T) {
	s := newSite(t)
	end := time.Now().Add(100 * time.Hour).Truncate(time.Second)
	c := s.creds(s.issue(pki.Host{Names: []string{"a"}, NotBefore: end.Add(-1000 * time.Hour), NotAfter: end}))
	for _, tt := range []struct {
		left time.Duration
		warn bool
	}{{201 * time.Hour, false}, {200 * time.Hour, true}, {0, true}, {-time.Hour, true}} {
		got := c.Expiries(end.Add(-tt.left))
		if len(got) != 2 || got[0].What != "server" || got[0].Seconds != int64(tt.left/time.Second) || got[0].Warn != tt.warn || got[1].What != "ca" {
			t.Errorf("%v before the end: %+v", tt.left, got)
		}
	}
}
