package arrival

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/virt-sluice/sluice/proxy/rundir"
)

// Verdict is what this host knows of a guest that somebody brought.
type Verdict int

const (
	// Undecided: libvirt was asked to take the guest over, and its answer is not known.
	Undecided Verdict = iota
	// NeverRan: libvirt was never asked to take the guest over, or has said that it did not.
	NeverRan
	// Ran: libvirt has said that it took the guest over.
	Ran
)

// record is what is remembered of a guest. libvirt alone can't tell a guest that never ran here
// from one that ran and ended: the source would take back the one, but must not the other, whose
// disks have moved on.
type record struct {
	Peer    string  `json:"peer"`
	Session string  `json:"session"`
	UUID    string  `json:"uuid"`
	ID      int32   `json:"id"`               // libvirt's
	Paused  bool    `json:"paused,omitempty"` // it was paused before it came, and stays so
	Verdict Verdict `json:"verdict"`
}

// keptRecords is how many guests are remembered. A source asks within minutes.
const keptRecords = 1024

// records are the newest, each in a file of its own in a folder that outlives the daemon, so that
// one that is restarted can still answer for what its predecessor did. They go with the host's
// boot, as libvirt's ids do.
type records struct {
	folder string

	mu    sync.Mutex
	order []string // keys, oldest first
	of    map[string]record
}

// key is a record's, and the name of its file, which leads out of no folder. A peer can't touch
// what is another's.
func key(peer, session string) string { return url.PathEscape(peer) + " " + url.PathEscape(session) }

// load reads what an earlier daemon has left. A file that can't be read is told, and passed over:
// its guest is undecided then.
func (rs *records) load(dir *rundir.Dir) error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.folder, rs.of = dir.Journal(rundir.ArrivalsDir), make(map[string]record)
	entries, err := os.ReadDir(rs.folder)
	if err != nil {
		return fmt.Errorf("read what an earlier sluice has noted of guests: %w", err)
	}
	when := make(map[string]time.Time)
	var faults []error
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), newSuffix) { // not whole, or never will be
			continue
		}
		r, err := rs.read(e.Name())
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", e.Name(), err))
			continue
		}
		if info, err := e.Info(); err == nil {
			when[e.Name()] = info.ModTime()
		}
		rs.of[e.Name()] = r
		rs.order = append(rs.order, e.Name())
	}
	slices.SortFunc(rs.order, func(a, b string) int { return when[a].Compare(when[b]) })
	return errors.Join(faults...)
}

// set keeps a record in place of an earlier one of its session, for the next daemon as well.
func (rs *records) set(r record) error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.of == nil {
		rs.of = make(map[string]record)
	}
	name := key(r.Peer, r.Session)
	if _, is := rs.of[name]; !is {
		rs.order = append(rs.order, name)
	}
	rs.of[name] = r
	if len(rs.order) > keptRecords {
		rs.forgetOne()
	}
	if rs.folder == "" {
		return nil
	}
	if err := writeWhole(filepath.Join(rs.folder, name), r); err != nil {
		return fmt.Errorf("note what becomes of the guest: %w", err)
	}
	return nil
}

// writeWhole writes a file of a journal, whole or not at all.
func writeWhole(path string, content any) error {
	data, err := json.Marshal(content)
	if err == nil {
		err = os.WriteFile(path+newSuffix, data, 0o600)
	}
	if err == nil {
		err = os.Rename(path+newSuffix, path)
	}
	return err
}

// newSuffix is of a file that is being written. No key ends with it: a session's ID is at its end.
const newSuffix = ".new"

// forgetOne forgets the oldest record of the peer that has most, so that no peer can have those of
// others forgotten.
func (rs *records) forgetOne() {
	of := make(map[string]int)
	for _, r := range rs.of {
		of[r.Peer]++
	}
	most := 0
	for _, n := range of {
		most = max(most, n)
	}
	at := slices.IndexFunc(rs.order, func(name string) bool { return of[rs.of[name].Peer] == most })
	name := rs.order[at]
	delete(rs.of, name)
	rs.order = slices.Delete(rs.order, at, at+1)
	os.Remove(filepath.Join(rs.folder, name)) // else the next daemon has one more than it needs
}

// get is what is known of a session's guest. The file is asked first: an earlier process of this
// host's sluice may have written it since.
func (rs *records) get(peer, session string) (r record, known bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	name := key(peer, session)
	if rs.folder != "" {
		if r, err := rs.read(name); err == nil {
			return r, true
		}
	}
	r, known = rs.of[name]
	return r, known
}

// read reads a record's file.
func (rs *records) read(name string) (r record, err error) {
	data, err := os.ReadFile(filepath.Join(rs.folder, name))
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	return r, err
}
