package history

import (
	"cmp"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// Bounds are what history may take. Of zero values nothing is bounded.
type Bounds struct {
	Sessions int
	Age      time.Duration
}

// maxBytes is what all records may take together, whatever the bounds.
const maxBytes = 64 << 20

// apply forgets what is beyond the bounds: what is too old, and then the oldest of whoever has
// brought most, so that no peer can have those of others forgotten.
func (b Bounds) apply(e *bbolt.Bucket, now time.Time) error {
	type entry struct {
		key []byte
		by  string
		len int
	}
	var all []entry
	var old [][]byte
	of := make(map[string]int)
	bytes := 0
	err := each(e, func(key, data []byte) error {
		at, by, _ := split(key)
		key = slices.Clone(key)
		if b.Age > 0 && now.Sub(at) > b.Age {
			old = append(old, key)
			return nil
		}
		all = append(all, entry{key, by, len(data)})
		bytes += len(data)
		of[by]++
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range old {
		if err := e.Delete(key); err != nil {
			return err
		}
	}
	for n := len(all); n > 0 && (b.Sessions > 0 && n > b.Sessions || bytes > maxBytes); n-- {
		most := slices.MaxFunc(all, func(x, y entry) int { return cmp.Compare(of[x.by], of[y.by]) }).by
		i := slices.IndexFunc(all, func(x entry) bool { return x.by == most })
		if err := e.Delete(all[i].key); err != nil {
			return err
		}
		bytes -= all[i].len
		of[most]--
		all = slices.Delete(all, i, i+1)
	}
	return nil
}
