package host

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Refusals keep what others can cause at will from filling the log: the first refusals of a caller
// are logged at once, and those that follow within a minute by their number.
type Refusals struct {
	mu   sync.Mutex
	more map[refusal]int // how many have come
}

type refusal struct{ message, who string }

const (
	refusalsEvery = time.Minute
	firstRefusals = 5
	maxRefusals   = 256 // callers that are told apart
	// longestRefusal is how many bytes of its words are logged. They may hold what a stranger
	// wrote.
	longestRefusal = 1000
)

// Refused logs a message about who was refused, an address or a user, and why.
func (h *Host) Refused(log zerolog.Logger, message, who string, why error) {
	r := &h.Refusals
	key := refusal{message, who}
	words := shortened(why.Error())
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, is := r.more[key]; !is && len(r.more) >= maxRefusals {
		key = refusal{message: message, who: "others"}
	}
	if r.more == nil {
		r.more = make(map[refusal]int)
	}
	if r.more[key]++; r.more[key] > firstRefusals {
		return
	}
	log.Warn().Str("error", words).Msg(message)
	if r.more[key] > 1 {
		return
	}
	time.AfterFunc(refusalsEvery, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if n := r.more[key] - firstRefusals; n > 0 {
			log.Warn().Str("who", key.who).Str("first", words).Int("more", n).Stringer("within", refusalsEvery).Msg(message)
		}
		delete(r.more, key)
	})
}

func shortened(s string) string {
	if len(s) <= longestRefusal {
		return s
	}
	return strings.ToValidUTF8(s[:longestRefusal], "") + fmt.Sprintf("… (%d bytes)", len(s))
}
