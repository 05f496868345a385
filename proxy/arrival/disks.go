package arrival

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// disks are those that were made here for guests that come, each session's in a file of a folder
// that outlives the daemon. As long as a file is there, somebody has to settle whose the disks are:
// the session that had them made, or, once its process has ended or has not been able to, whichever
// process comes to it (settle_disks.go).
type disks struct {
	folder string

	making chan struct{} // holds one as long as somebody has libvirt make or remove any

	left chan struct{} // something is left to be settled

	mu    sync.Mutex
	live  map[string]bool      // names of files of this process's sessions
	told  map[string]bool      // names of those that it has told of
	first map[string]time.Time // when it has first tried to settle them, by their names
}

func newDisks() *disks {
	return &disks{making: make(chan struct{}, 1), left: make(chan struct{}, 1), live: make(map[string]bool), told: make(map[string]bool), first: make(map[string]time.Time)}
}

// madeDisks is what is noted of a session's.
type madeDisks struct {
	Peer     string      `json:"peer"`
	Session  string      `json:"session"`
	UUID     string      `json:"uuid"`
	Guest    string      `json:"guest"`        // its name here
	ID       int32       `json:"id,omitempty"` // libvirt's, once it has a QEMU
	Postcopy bool        `json:"postcopy,omitempty"`
	Disks    []*madeDisk `json:"disks"`
	// Kept says that they may hold the guest: nothing removes them any more.
	Kept bool `json:"kept,omitempty"`
}

// madeDisk is noted before libvirt is asked to make it.
type madeDisk struct {
	virt.Image
	Made bool `json:"made,omitempty"` // it has: what is there is no other's
}

func (m *madeDisks) name() string { return key(m.Peer, m.Session) }

// paths are those of all.
func (m *madeDisks) paths() (all []string) {
	for _, d := range m.Disks {
		all = append(all, d.Path)
	}
	return all
}

// note writes it down.
func (ds *disks) note(m *madeDisks) error {
	return writeWhole(filepath.Join(ds.folder, m.name()), m)
}

// forget is the end of it: the disks are the guest's, or gone.
func (ds *disks) forget(m *madeDisks) error {
	ds.mu.Lock()
	delete(ds.told, m.name())
	delete(ds.first, m.name())
	ds.mu.Unlock()
	err := os.Remove(filepath.Join(ds.folder, m.name()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// noted are all, of other processes as well. A file that can't be read is passed over: it names
// nothing that could be removed.
func (ds *disks) noted() (all []*madeDisks, err error) {
	entries, err := os.ReadDir(ds.folder)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), newSuffix) {
			continue
		}
		if m := ds.read(e.Name()); m != nil {
			all = append(all, m)
		}
	}
	return all, err
}

// read is nil for a file that is no longer there.
func (ds *disks) read(name string) *madeDisks {
	data, err := os.ReadFile(filepath.Join(ds.folder, name))
	m := new(madeDisks)
	if err != nil || json.Unmarshal(data, m) != nil || m.name() != name {
		return nil
	}
	return m
}

// own says whether a session of this process has it, or has no longer.
func (ds *disks) own(m *madeDisks, is bool) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if ds.live[m.name()] = is; !is {
		delete(ds.live, m.name())
	}
}

func (ds *disks) owns(m *madeDisks) bool {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	return ds.live[m.name()]
}

// tell is true once for each.
func (ds *disks) tell(m *madeDisks) bool {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	was := ds.told[m.name()]
	ds.told[m.name()] = true
	return !was
}

// since is for how long they have been to be settled.
func (ds *disks) since(m *madeDisks) time.Duration {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if ds.first[m.name()].IsZero() {
		ds.first[m.name()] = time.Now()
	}
	return time.Since(ds.first[m.name()])
}

// leave has SettleDisks look.
func (ds *disks) leave() {
	select {
	case ds.left <- struct{}{}:
	default:
	}
}
