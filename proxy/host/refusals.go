package host

import (
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Refusals keep what others can cause at will from filling the log: a refusal is logged at once, and
// those like it in the next minute by their number.
type Refusals struct {
	mu   sync.Mutex
	more map[refusal]int // how many have come since it was logged
}

type refusal struct{ message, who, why string }

const (
	refusalsEvery = time.Minute
	maxRefusals   = 64 // that are told apart
)

// Refused logs a message about who was refused, an address or a user, and why.
func (h *Host) Refused(log zerolog.Logger, message, who string, why error) {
	r := &h.Refusals
	key := refusal{message, who, why.Error()}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, is := r.more[key]; !is && len(r.more) >= maxRefusals {
		key = refusal{message: message, who: "others"}
	}
	if _, is := r.more[key]; is {
		r.more[key]++
		return
	}
	if r.more == nil {
		r.more = make(map[refusal]int)
	}
	r.more[key] = 0
	log.Warn().Err(why).Msg(message)
	time.AfterFunc(refusalsEvery, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if n := r.more[key]; n > 0 {
			log.Warn().Str("who", key.who).AnErr("last", why).Int("more", n).Stringer("within", refusalsEvery).Msg(message)
		}
		delete(r.more, key)
	})
}
