package record

import (
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	// worthSharing is how many full records there must be before others are
	// woken to help: about 60 microseconds' work for one.
	worthSharing = 16
	// share is how many records a worker takes at a time.
	share = 4
)

// defaultWorkers leaves most processors to those whose work the stream is. A small machine has none
// to spare: there, waking a second thread for a batch costs more than it gains.
func defaultWorkers() int { return max(1, min(4, runtime.GOMAXPROCS(0)/4)) }

// workers are the goroutines that seal or open a batch's records, in any order;
// their caller keeps the order of the stream. They live as long as the batch.
type workers struct {
	n       int // the caller included; 0 is the default
	next    atomic.Int32
	wg      sync.WaitGroup
	scratch []scratch // one for each
}

type scratch struct {
	nonce  [nonceLen]byte
	record []byte // as it came
}

// count returns how many should share so many records.
func (w *workers) count(records int) int {
	if records < worthSharing {
		return 1
	}
	n := w.n
	if n == 0 {
		n = defaultWorkers()
	}
	return min(n, records/share)
}

// do calls f for each of so many records, by n goroutines.
func (w *workers) do(n, records int, f func(s *scratch, i int)) {
	if len(w.scratch) < n {
		w.scratch = make([]scratch, n)
	}
	w.next.Store(0)
	work := func(s *scratch) {
		for {
			end := int(w.next.Add(share))
			if end-share >= records {
				return
			}
			for i := end - share; i < min(end, records); i++ {
				f(s, i)
			}
		}
	}
	for i := 1; i < n; i++ {
		w.wg.Go(func() { work(&w.scratch[i]) })
	}
	work(&w.scratch[0])
	w.wg.Wait()
}

// seal makes n bytes, which lie in mem at every stride, records from sequence number first on.
func (w *workers) seal(h *half, first uint64, mem []byte, n int) {
	records := (n + plainMax - 1) / plainMax
	one := func(nonce *[nonceLen]byte, i int) {
		h.seal(nonce, first+uint64(i), mem[i*stride:], min(n-i*plainMax, plainMax), typeData)
	}
	if c := w.count(records); c > 1 {
		w.do(c, records, func(s *scratch, i int) { one(&s.nonce, i) })
		return
	}
	for i := range records {
		one(&h.nonce, i)
	}
}

// openAhead decrypts the full records that b begins with, if several workers should, and returns
// how many: each is left as its inner plaintext, and failed says which could not be opened.
//
// One of them may be a padded KeyUpdate, and those after it be of the next key: so
// what could not be opened is left as it came.
func (w *workers) openAhead(h *half, b []byte, failed *[Slots]bool) int {
	n := 0
	for n < Slots && len(b) >= (n+1)*stride {
		if head := b[n*stride:]; head[0] != typeData || int(head[3])<<8|int(head[4]) != stride-headerLen {
			break
		}
		n++
	}
	c := w.count(n)
	if c < 2 {
		return 0
	}
	first := h.take(n)
	w.do(c, n, func(s *scratch, i int) {
		rec := b[i*stride : (i+1)*stride]
		s.record = append(s.record[:0], rec...)
		if failed[i] = h.decrypt(&s.nonce, first+uint64(i), rec) == nil; failed[i] {
			copy(rec, s.record)
		}
	})
	return n
}
