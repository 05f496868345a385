package history

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// DefaultPatience is a Store's, unless it says another.
const DefaultPatience = 5 * time.Second

const (
	fileName = "history.db"
	// damagedSuffix is that of a file that was set aside.
	damagedSuffix = ".damaged"
)

// Store is a host's history. Folder is sluice's own. It may be used by several goroutines, and the
// folder by several processes. Nothing is open between calls.
type Store struct {
	Folder string
	// Aside, if not nil, is told of a damaged file that was set aside, and of its new name.
	Aside func(name string, damage error)
	// Patience is how long a caller waits for the disk. It waits a little less for another process that
	// has the file. 0: DefaultPatience.
	Patience time.Duration

	mu   sync.Mutex
	busy chan struct{} // holds an element while a transaction runs; nil before the first
}

// File is the path of the store's file.
func (s *Store) File() string { return filepath.Join(s.Folder, fileName) }

// damage is what is wrong with a file's content, not with the disk.
type damage struct{ err error }

func (d *damage) Error() string { return fmt.Sprintf("the file is damaged: %v", d.err) }
func (d *damage) Unwrap() error { return d.err }

func (s *Store) patience() time.Duration { return cmp.Or(s.Patience, DefaultPatience) }

func (s *Store) hangs() error {
	return s.fault(fmt.Errorf("the disk, or another process that has the file, does not answer within %v", s.patience()))
}

// update runs a transaction that writes. A damaged file is set aside, and the transaction run on a
// new one.
func (s *Store) update(f func(*bbolt.Tx) error) error {
	return s.do(func() error {
		if err := s.make(); err != nil {
			return err
		}
		return s.open(false, func(db *bbolt.DB) error { return db.Update(f) })
	})
}

// view runs a transaction that reads. It is not run if there is no file.
func (s *Store) view(f func(*bbolt.Tx) error) error {
	err := s.do(func() error {
		return s.open(true, func(db *bbolt.DB) error { return db.View(f) })
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// make makes the folder, which nobody else may read.
func (s *Store) make() error {
	if _, err := os.Stat(s.Folder); err == nil {
		return nil
	}
	return os.MkdirAll(s.Folder, 0o700)
}

// do runs what uses the file, once what ran before has ended, and twice if the file was set aside.
// It returns within the store's patience: what hangs then is left, and has its place until it ends.
func (s *Store) do(f func() error) error {
	s.mu.Lock()
	if s.busy == nil {
		s.busy = make(chan struct{}, 1)
	}
	busy := s.busy
	s.mu.Unlock()
	patience := time.NewTimer(s.patience())
	defer patience.Stop()
	select {
	case busy <- struct{}{}:
	case <-patience.C:
		return s.hangs()
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-busy }()
		err := f()
		if broken := (*damage)(nil); errors.As(err, &broken) {
			err = f()
		}
		done <- err
	}()
	select {
	case err := <-done:
		return s.fault(err)
	case <-patience.C:
		return s.hangs()
	}
}

// fault says which file an error is about.
func (s *Store) fault(err error) error {
	if err == nil || errors.As(err, new(*fs.PathError)) {
		return err
	}
	return fmt.Errorf("%s: %w", s.File(), err)
}

// open opens the file, has f use it, and closes it. Damage that shows on the way is an error, and
// the file is then set aside. bbolt trusts a file's pages: in one that is damaged it panics, or reads
// where the file has ended, which is a fault of memory.
func (s *Store) open(readOnly bool, f func(*bbolt.DB) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	var file os.FileInfo // that was opened
	var db *bbolt.DB
	defer func() {
		panicked := recover()
		switch {
		case panicked != nil:
			if db != nil {
				go db.Close() // it may wait for ever for what has panicked
			}
			err = &damage{fmt.Errorf("%v", panicked)}
		case db != nil:
			err = errors.Join(err, db.Close())
		}
		if broken := (*damage)(nil); errors.As(err, &broken) && file != nil {
			s.setAside(file, broken)
		}
	}()
	db, err = bbolt.Open(s.File(), 0o600, &bbolt.Options{ReadOnly: readOnly, Timeout: s.patience() / 2, FreelistType: bbolt.FreelistMapType,
		OpenFile: func(name string, flag int, mode fs.FileMode) (*os.File, error) {
			opened, err := os.OpenFile(name, flag, mode)
			if err != nil {
				return nil, err
			}
			if file, err = opened.Stat(); err == nil && readOnly && file.Size() == 0 {
				err = fs.ErrNotExist // it was made, and never written
			}
			if err != nil {
				opened.Close()
				return nil, err
			}
			return opened, nil
		},
	})
	if err == nil {
		err = f(db)
	}
	switch {
	case err == nil, errors.As(err, new(*fs.PathError)), errors.As(err, new(syscall.Errno)): // the disk's
		return err
	case errors.Is(err, berrors.ErrTimeout):
		return errors.New("another process has it")
	}
	return &damage{err} // all else is bbolt's, of what it has found
}

// setAside gives a damaged file another name, unless another process has done so.
func (s *Store) setAside(file os.FileInfo, broken *damage) {
	now, err := os.Stat(s.File())
	if err != nil || !os.SameFile(file, now) {
		return
	}
	aside := s.File() + damagedSuffix
	if err := os.Rename(s.File(), aside); err == nil && s.Aside != nil {
		s.Aside(aside, broken.err)
	}
}
