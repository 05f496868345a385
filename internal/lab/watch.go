package lab

import (
	"os"
	"time"
)

// A Watch sees when a guest prints something, on any host.
type Watch struct {
	guest *Guest
	stop  chan struct{}
	done  chan struct{}

	last    time.Time     // when something was printed
	longest time.Duration // without that
}

// watchEvery is how often a watch looks: as often as a guest beats at most.
const watchEvery = time.Millisecond

// Watch watches the guest until [Watch.Stop], which must be called. It tells of silences no finer
// than the guest's beats, and this process's own.
func (g *Guest) Watch() *Watch {
	w := &Watch{guest: g, stop: make(chan struct{}), done: make(chan struct{}), last: time.Now()}
	go w.look()
	return w
}

func (w *Watch) look() {
	defer close(w.done)
	again := time.NewTicker(watchEvery)
	defer again.Stop()
	printed := w.printed()
	for {
		select {
		case <-w.stop:
			w.heard(time.Now())
			return
		case <-again.C:
			if now := w.printed(); now != printed {
				printed = now
				w.heard(time.Now())
			}
		}
	}
}

// printed is how many bytes all hosts have of what the guest printed.
func (w *Watch) printed() (n int64) {
	for _, h := range w.guest.lab.Hosts() {
		if st, err := os.Stat(h.Path(w.guest.serialPath())); err == nil { // it may never have been there
			n += st.Size()
		}
	}
	return n
}

func (w *Watch) heard(now time.Time) {
	w.longest, w.last = max(w.longest, now.Sub(w.last)), now
}

// Stop ends the watch, and returns the longest time in which the guest printed nothing. What lasts
// until now counts.
func (w *Watch) Stop() time.Duration {
	close(w.stop)
	<-w.done
	return w.longest
}
