package control

import (
	"encoding/json"
	"math"
	"net/http"
	"sync"
	"time"
)

// lastWrite is how long a client may take to accept what is left of the stream
// once the migration has ended.
const lastWrite = 10 * time.Second

// eventWriter writes progress to one client from a goroutine of its own, so
// that a client that does not read never holds up a migration. That a client
// is gone is told by the request's context, not here: write errors are dropped.
type eventWriter struct {
	w        http.ResponseWriter
	progress chan Progress
	finished chan struct{} // closed once there is no more to come
	over     chan struct{} // closed by run, which has then set began
	began    bool          // whether anything was written
	once     sync.Once
}

func newEventWriter(w http.ResponseWriter) *eventWriter {
	e := &eventWriter{
		w:        w,
		progress: make(chan Progress, 64),
		finished: make(chan struct{}),
		over:     make(chan struct{}),
	}
	go e.run()
	return e
}

// report queues p, or drops it when the client lags by the whole queue.
func (e *eventWriter) report(p Progress) {
	if math.IsNaN(p.Percent) || math.IsInf(p.Percent, 0) {
		p.Percent = 0 // JSON has no word for it
	}
	select {
	case e.progress <- p:
	default:
	}
}

// close writes what is queued, waits for the goroutine and says whether the
// answer has begun. The ResponseWriter is the caller's again.
func (e *eventWriter) close() (began bool) {
	e.once.Do(func() {
		close(e.finished)
		// A write that hangs in a client which has stopped reading ends here.
		http.NewResponseController(e.w).SetWriteDeadline(time.Now().Add(lastWrite))
		<-e.over
	})
	return e.began
}

// run writes progress as it comes, and the last one again after a Heartbeat without any.
func (e *eventWriter) run() {
	var last *Event
	defer func() {
		e.began = last != nil
		close(e.over)
	}()
	tick := time.NewTicker(Heartbeat)
	defer tick.Stop()
	for {
		select {
		case p := <-e.progress:
			last = &Event{Progress: &p}
			tick.Reset(Heartbeat)
			writeEvent(e.w, last)
		case <-tick.C:
			if last != nil {
				writeEvent(e.w, last)
			}
		case <-e.finished:
			for len(e.progress) > 0 {
				p := <-e.progress
				last = &Event{Progress: &p}
				writeEvent(e.w, last)
			}
			return
		}
	}
}

// writeEvent writes one line and flushes it.
func writeEvent(w http.ResponseWriter, e *Event) {
	data, err := json.Marshal(e)
	if err != nil {
		return // an Event holds nothing that cannot be encoded
	}
	w.Header().Set("Content-Type", "application/jsonl")
	w.Write(append(data, '\n'))
	http.NewResponseController(w).Flush()
}
