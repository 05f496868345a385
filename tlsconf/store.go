package tlsconf

import (
	"context"
	"errors"
	"fmt"
	"maps"
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

	// Changed is told of each new set, the first excepted; Failed of each set that was found bad,
	// while the one before it stays, and of folders that cannot be watched; Mended when they can be
	// again. They are called one at a time and must not call the Store's Reload. Each may be nil.
	Changed func(*Credentials)
	Failed  func(error)
	Mended  func()

	// Settle is how long the files must have been left alone before they are read:
	// 200 ms if zero. A certificate and its key cannot be replaced in one step.
	Settle time.Duration
	// Poll is how often the files are looked at even if nothing was notified, as on network file
	// systems: a minute if zero, never if negative.
	Poll time.Duration
}

// Store keeps credentials that follow their files. Current is a snapshot: a stream keeps the one it
// began with, and handshakes take the newest.
type Store struct {
	conf    StoreConfig
	current atomic.Pointer[Credentials]

	mu      sync.Mutex // held over a reload
	seen    string     // what the files looked like when they were last read
	bad     bool       // they were not good then
	unheard string     // why folders are not watched, as it was told
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

// Reload reads all files anew, on SIGHUP say, and swaps the set if it is good. It returns what it
// tells Failed.
func (s *Store) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var c *Credentials
	found, err := Find(s.conf.Search)
	now := look(found)
	if err != nil {
		now = err.Error()
	} else if c, err = Load(found); err == nil {
		s.seen, s.bad, s.unheard = now, false, ""
		s.current.Store(c)
		if s.conf.Changed != nil {
			s.conf.Changed(c)
		}
		return nil
	}
	err = fmt.Errorf("the certificates on disk are not taken over, those loaded before stay in use: %w", err)
	// The same failure is told once, however often it is looked at.
	if s.conf.Failed != nil && !(s.bad && s.seen == now) {
		s.conf.Failed(err)
	}
	s.seen, s.bad = now, true
	return err
}

// changed tells whether the files are to be read: other ones than those last read, or ones that
// were not good. Time alone may mend these: a certificate may have been too new for this host's
// clock.
func (s *Store) changed() bool {
	found, err := Find(s.conf.Search)
	if err != nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bad || look(found) != s.seen
}

// look sums up the files as they are now: which ones, and each one's identity, size and time.
func look(f Found) string {
	var b []byte
	for _, path := range f.Paths() {
		b = fmt.Appendf(b, "%s ", path)
		if st, err := os.Stat(path); err != nil {
			b = fmt.Appendf(b, "%v\n", err)
		} else {
			b = fmt.Appendf(b, "%d %d %v %v\n", st.Size(), st.ModTime().UnixNano(), st.Mode(), inode(st))
		}
	}
	return string(b)
}

// Run follows the files until ctx is done, and returns its error. A fault in watching is told to
// Failed, and the polling goes on. Files that were not good are read again at each poll.
func (s *Store) Run(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching the certificates: %w", err)
	}
	defer watcher.Close()
	s.hears(s.watch(watcher))
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
		case <-watcher.Errors:
			// Events were lost: look.
			settle.Reset(s.conf.Settle)
		case <-settle.C:
			s.refresh(watcher)
		case <-poll:
			s.refresh(watcher)
		}
	}
}

func (s *Store) refresh(w *fsnotify.Watcher) {
	err := s.watch(w)
	if s.changed() {
		s.Reload()
	}
	s.hears(err)
}

// watch adds the folders in which a change of the files can show: not the files, for a rename puts
// another file in a watched one's place, and of each symlink on the way both its own folder and
// its target's, as in Kubernetes' volumes (key.pem -> ..data/key.pem, ..data -> ..2026_11_22/).
func (s *Store) watch(w *fsnotify.Watcher) error {
	dirs := make(map[string]bool)
	for _, path := range s.Current().Found.Paths() {
		follow(path, dirs)
	}
	for _, dir := range w.WatchList() {
		if !dirs[dir] {
			w.Remove(dir)
		}
	}
	// Adding one that is watched is harmless, and takes up one that was replaced.
	var faults []error
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		if err := w.Add(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			faults = append(faults, fmt.Errorf("watching the certificates in %s, which are looked at now and then instead: %w", dir, err))
		}
	}
	return errors.Join(faults...)
}

// hears tells what watch came to, where that is something new.
func (s *Store) hears(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.unheard
	if s.unheard = ""; err != nil {
		s.unheard = err.Error()
	}
	switch {
	case s.unheard == before:
	case err != nil && s.conf.Failed != nil:
		s.conf.Failed(err)
	case err == nil && !s.bad && s.conf.Mended != nil:
		s.conf.Mended()
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
