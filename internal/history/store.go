package history

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/virt-sluice/sluice/proxy/control"
)

// The two tables of the file.
var (
	ended = []byte("ended") // by endedKey
	live  = []byte("live")  // by liveKey
)

// maxRecord is the longest record that is kept whole, in bytes. A session of so many channels, or
// of names and causes so long, is kept without what it can do without.
const maxRecord = 128 << 10

// Change is what a process has to tell.
type Change struct {
	Process string // unique among those of this host's sluice
	Ended   []*control.SessionRecord
	Live    []*control.SessionRecord // all that the process has
	Settled []Settled
}

// Settled is what became of the guest of a session that ended without anybody knowing.
type Settled struct {
	Session, Outcome, Text string
	At                     time.Time
}

// endedKey is that of a session that ended: by its time, then by who brought it, for whom there is
// a bound, then by its ID.
func endedKey(r *control.SessionRecord) []byte {
	key := binary.BigEndian.AppendUint64(nil, uint64(max(r.Ended.UnixNano(), 0)))
	return append(key, bringer(r)+"\x00"+r.ID...)
}

// bringer is the peer that has opened a session, and empty for this host's own.
func bringer(r *control.SessionRecord) string {
	if r.Direction == control.Incoming {
		return r.Peer
	}
	return ""
}

// split takes an endedKey apart.
func split(key []byte) (at time.Time, bringer, id string) {
	if len(key) < 8 {
		return at, "", ""
	}
	by, session, _ := bytes.Cut(key[8:], []byte{0})
	return time.Unix(0, int64(binary.BigEndian.Uint64(key))), string(by), string(session)
}

func liveKey(process string, r *control.SessionRecord) []byte {
	return []byte(process + "\x00" + r.Direction + "\x00" + r.ID)
}

// put writes a record.
func put(b *bbolt.Bucket, key []byte, r *control.SessionRecord) error {
	data, err := json.Marshal(r)
	if err == nil && len(data) > maxRecord {
		short := *r
		short.Samples, short.Notes, short.Options = nil, nil, nil
		short.Channels = short.Channels[:min(len(short.Channels), 64)]
		short.Cause = short.Cause[:min(len(short.Cause), 4096)]
		data, err = json.Marshal(&short)
	}
	if err != nil || len(data) > maxRecord { // which would keep all others from being written
		return nil
	}
	return b.Put(key, data)
}

// each goes through a table. What no table of ours has is damage: of much bbolt does not know that it
// is.
func each(b *bbolt.Bucket, f func(key, data []byte) error) error {
	var last []byte
	c := b.Cursor()
	for key, data := c.First(); key != nil; key, data = c.Next() {
		switch {
		case bytes.Compare(key, last) <= 0:
			return &damage{fmt.Errorf("the key %q follows %q", key, last)}
		case len(data) > maxRecord:
			return &damage{fmt.Errorf("a record of %d bytes", len(data))}
		}
		last = append(last[:0], key...)
		if err := f(key, data); err != nil {
			return err
		}
	}
	return nil
}

// read reads a record; ok is false for one that is damaged.
func read(data []byte) (r control.SessionRecord, ok bool) {
	err := json.Unmarshal(data, &r)
	return r, err == nil
}

func buckets(tx *bbolt.Tx) (e, l *bbolt.Bucket, err error) {
	if e, err = tx.CreateBucketIfNotExists(ended); err == nil {
		l, err = tx.CreateBucketIfNotExists(live)
	}
	return e, l, err
}

// Write takes in a change, all of it or nothing, and forgets what is beyond the bounds.
func (s *Store) Write(c Change, within Bounds) error {
	now := time.Now()
	return s.update(func(tx *bbolt.Tx) error {
		e, l, err := buckets(tx)
		if err != nil {
			return err
		}
		if err := forget(l, c.Process); err != nil {
			return err
		}
		for _, r := range c.Ended {
			if err := put(e, endedKey(r), r); err != nil {
				return err
			}
		}
		for _, r := range c.Live {
			if slices.ContainsFunc(c.Ended, func(o *control.SessionRecord) bool { return o.ID == r.ID && o.Direction == r.Direction }) {
				continue // it has ended since it was looked at
			}
			seen := *r
			seen.Ended = now // for Adopt
			if err := put(l, liveKey(c.Process, r), &seen); err != nil {
				return err
			}
		}
		for _, settled := range c.Settled {
			if err := settle(e, settled); err != nil {
				return err
			}
		}
		if len(c.Ended) == 0 && len(c.Live) > 0 {
			return nil // once a second
		}
		return within.apply(e, now)
	})
}

// forget takes out what a process had under way.
func forget(l *bbolt.Bucket, process string) error {
	prefix := []byte(process + "\x00")
	c := l.Cursor()
	for key, _ := c.Seek(prefix); key != nil && bytes.HasPrefix(key, prefix); key, _ = c.Seek(prefix) {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

// settle writes what became of a guest into the entry of its session, where that was not known.
func settle(e *bbolt.Bucket, s Settled) error {
	c := e.Cursor()
	for key, data := c.Last(); key != nil; key, data = c.Prev() {
		if _, _, id := split(key); id != s.Session {
			continue
		}
		r, ok := read(data)
		if !ok || r.Outcome != control.Unknown {
			continue
		}
		r.Outcome = s.Outcome
		r.Notes = append(r.Notes, control.Note{At: s.At.Sub(r.Started).Milliseconds(), Kind: control.NoteDecision, Text: s.Text})
		return put(e, slices.Clone(key), &r)
	}
	return nil
}

// Adopt looks whether the file is sound, so that it comes before all else, and makes entries of the sessions of processes that live no
// more, whose outcome nobody has written. judge completes each of them, and returns false for one that is not to be kept.
func (s *Store) Adopt(lives func(process string) bool, judge func(*control.SessionRecord) bool) (adopted []control.SessionRecord, err error) {
	some := false
	err = s.view(func(tx *bbolt.Tx) error {
		if err := sound(s.File()); err != nil {
			return err
		}
		e, l := tx.Bucket(ended), tx.Bucket(live)
		if e == nil || l == nil {
			return nil
		}
		return errors.Join(each(e, func([]byte, []byte) error { return nil }), each(l, func(key, _ []byte) error {
			some = some || !lives(processOf(key))
			return nil
		}))
	})
	if err != nil || !some {
		return nil, err
	}
	err = s.update(func(tx *bbolt.Tx) error {
		adopted = nil
		e, l, err := buckets(tx)
		if err != nil {
			return err
		}
		var gone [][]byte
		err = each(l, func(key, data []byte) error {
			if lives(processOf(key)) {
				return nil
			}
			gone = append(gone, slices.Clone(key))
			if r, ok := read(data); ok && judge(&r) {
				adopted = append(adopted, r)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, r := range adopted {
			if err := put(e, endedKey(&r), &r); err != nil {
				return err
			}
		}
		for _, key := range gone {
			if err := l.Delete(key); err != nil {
				return err
			}
		}
		return nil
	})
	return adopted, err
}

func processOf(key []byte) string {
	process, _, _ := bytes.Cut(key, []byte{0})
	return string(process)
}

// List reads what ended, the newest first. What is damaged is left out.
func (s *Store) List(q *control.HistoryQuery) (all []control.SessionRecord, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		e := tx.Bucket(ended)
		if e == nil {
			return nil
		}
		c := e.Cursor()
		for key, data := c.Last(); key != nil && (q.Limit == 0 || len(all) < q.Limit); key, data = c.Prev() {
			if at, _, _ := split(key); at.Before(q.Since) {
				return nil
			}
			if r, ok := read(data); ok && q.Wants(&r.SessionStatus) {
				r.Samples = nil
				all = append(all, r)
			}
		}
		return nil
	})
	return all, err
}

// Find is the newest session, live or ended, that is meant by its ID or by its guest; nil if there is
// none.
func (s *Store) Find(name string) (found *control.SessionRecord, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		if l := tx.Bucket(live); l != nil {
			c := l.Cursor()
			for key, data := c.First(); key != nil; key, data = c.Next() {
				if r, ok := read(data); ok && r.Is(name) {
					r.Ended = time.Time{}
					found = &r
					return nil
				}
			}
		}
		e := tx.Bucket(ended)
		if e == nil {
			return nil
		}
		c := e.Cursor()
		for key, data := c.Last(); key != nil; key, data = c.Prev() {
			if r, ok := read(data); ok && r.Is(name) {
				found = &r
				return nil
			}
		}
		return nil
	})
	return found, err
}
