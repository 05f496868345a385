package tlsconf

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// StoreConfig says what a Store holds. Search alone may be set.
type StoreConfig struct {
	Search Search

	// Changed is told of each new set, the first excepted; Failed of each set that was
	// found bad, while the one before it stays. They are called one at a time and must not call the Store's
	// Reload. Either may be nil.
	Changed func(*Credentials)
	Failed  func(error)

	// Settle is how long the files must have been left alone before they are read:
	// 200 ms if zero. A certificate and its key cannot be replaced in one step.
	Settle time.Duration
	// Poll is how often the files are looked at even if nothing was notified, as on network file
	// systems: a minute if zero, never if negative.
	Poll time.Duration
}

// Store keeps credentials that follow their files. Current is a snapshot: a stream keeps the one it began
// with, and handshakes take the newest.
type Store struct {
	conf    StoreConfig
	current atomic.Pointer[Credentials]

	mu   sync.Mutex // held over a reload
	seen string     // what the files looked like when they were last read
	fail string     // the last failure that was told
}

// NewStore loads the credentials, and fails if they are not good.
func NewStore(conf StoreConfig) (*Store, error) {
	if conf.Settle == 0 {
		conf.Settle = 200 * time.Millisecond
	}
	if conf.Poll == 0 {
		conf.Poll = time.Minute
	}
	s := &Store{conf: conf}
	found, err := Find(conf.Search)
	if err != nil {
		return nil, err
	}
	s.seen = look(found)
	c, err := Load(found)
	if err != nil {
		return nil, err
	}
	s.current.Store(c)
	return s, nil
}

// Current returns the newest good set.
func (s *Store) Current() *Credentials { return s.current.Load() }

// Reload reads all files anew, on SIGHUP say, and swaps the set if it is good. It returns what it tells Failed.
func (s *Store) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := Find(s.conf.Search)
	if err == nil {
		s.seen = look(found)
		var c *Credentials
		if c, err = Load(found); err == nil {
			s.fail = ""
			s.current.Store(c)
			if s.conf.Changed != nil {
				s.conf.Changed(c)
			}
			return nil
		}
	}
	err = fmt.Errorf("the certificates on disk are not taken over, those loaded before stay in use: %w", err)
	// The same failure is told once, however often it is looked at.
	if s.conf.Failed != nil && err.Error() != s.fail {
		s.conf.Failed(err)
	}
	s.fail = err.Error()
	return err
}

// changed tells whether the files are other ones than those last read.
func (s *Store) changed() bool {
	found, err := Find(s.conf.Search)
	if err != nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return look(found) != s.seen
}

// look sums up the files as they are now: which ones, and each one's identity, size and time.
func look(f Found) string {
	var b []byte
	for _, path := range f.paths() {
		b = fmt.Appendf(b, "%s ", path)
		if st, err := os.Stat(path); err != nil {
			b = fmt.Appendf(b, "%v\n", err)
		} else {
			b = fmt.Appendf(b, "%d %d %v %v\n", st.Size(), st.ModTime().UnixNano(), st.Mode(), inode(st))
		}
	}
	return string(b)
}

func (f Found) paths() []string {
	paths := []string{f.CA}
	if f.CRL != "" {
		paths = append(paths, f.CRL)
	}
	for _, p := range slices.Concat(f.Server, f.Client) {
		paths = append(paths, p.Cert, p.Key)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// Run follows the files until ctx is done, and returns its error. A fault in watching is told to Failed, and
// the polling goes on.
func (s *Store) Run(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching the certificates: %w", err)
	}
	defer watcher.Close()
	s.watch(watcher)
	// The files may have changed between NewStore and here.
	settle := time.NewTimer(s.conf.Settle)
	defer settle.Stop()
	var poll <-chan time.Time
	if s.conf.Poll > 0 {
		t := time.NewTicker(s.conf.Poll)
		defer t.Stop()
		poll = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, ok := <-watcher.Events:
			if !ok {
				return errors.New("watching the certificates: the watcher closed")
			}
			settle.Reset(s.conf.Settle)
		case err := <-watcher.Errors:
			// Events were lost: look.
			s.fault(fmt.Errorf("watching the certificates: %w", err))
			settle.Reset(s.conf.Settle)
		case <-settle.C:
			s.refresh(watcher)
		case <-poll:
			s.refresh(watcher)
		}
	}
}

func (s *Store) refresh(w *fsnotify.Watcher) {
	s.watch(w)
	if s.changed() {
		s.Reload()
	}
}

// watch adds the folders in which a change of the files can show: not the files, for a rename puts
// another file in a watched one's place, and of each symlink on the way both its own folder and
// its target's, as in Kubernetes' volumes (key.pem -> ..data/key.pem, ..data -> ..2026_11_22/).
func (s *Store) watch(w *fsnotify.Watcher) {
	dirs := make(map[string]bool)
	for _, path := range s.Current().Found.paths() {
		follow(path, dirs)
	}
	for _, dir := range w.WatchList() {
		if !dirs[dir] {
			w.Remove(dir)
		}
	}
	// Adding one that is watched is harmless, and takes up one that was replaced.
	for dir := range dirs {
		if err := w.Add(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.fault(fmt.Errorf("watching the certificates in %s: %w", dir, err))
		}
	}
}

// fault tells of what went wrong in watching.
func (s *Store) fault(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conf.Failed != nil {
		s.conf.Failed(err)
	}
}

// maxLinks is how many symlinks are followed for one path, as in the kernel.
const maxLinks = 40

// follow adds the folders on the way to path: path's own, and those that its symlinks lead through.
func follow(path string, dirs map[string]bool) {
	for range maxLinks {
		dir := filepath.Dir(path)
		dirs[dir] = true
		// A folder on the way may be a symlink, too.
		if real, err := filepath.EvalSymlinks(dir); err == nil && real != filepath.Clean(dir) {
			for d := dir; d != filepath.Dir(d); d = filepath.Dir(d) {
				if st, err := os.Lstat(d); err == nil && st.Mode()&os.ModeSymlink != 0 {
					dirs[filepath.Dir(d)] = true
				}
			}
			dirs[real] = true
		}
		target, err := os.Readlink(path)
		if err != nil {
			return
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		path = target
	}
}
