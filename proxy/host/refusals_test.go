package host

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// However many are refused, and however long the words of strangers, the log stays short, and
// counts what it leaves out.
func TestRefusalsAreShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		h, log := &Host{State: new(State)}, zerolog.New(&out)
		said := func() string { // since the last time
			h.Refusals.mu.Lock()
			defer h.Refusals.mu.Unlock()
			defer out.Reset()
			return out.String()
		}
		for i := range 10_000 {
			h.Refused(log, "connection refused", "192.0.2.66", errors.New(fmt.Sprint(i)+strings.Repeat("ü", 1<<16)))
		}
		if s := said(); strings.Count(s, "\n") != firstRefusals || len(s) > firstRefusals*(longestRefusal+200) {
			t.Errorf("%d lines, %d bytes", strings.Count(s, "\n"), len(s))
		}
		time.Sleep(refusalsEvery) // by the bubble's clock
		synctest.Wait()
		if s := said(); !strings.Contains(s, fmt.Sprintf(`"more":%d`, 10_000-firstRefusals)) {
			t.Errorf("the others are not counted: %s", s)
		}
		for i := range 3 * maxRefusals {
			h.Refused(log, "connection refused", fmt.Sprint(i), errors.New("no"))
		}
		if n := strings.Count(said(), "\n"); n != maxRefusals+firstRefusals {
			t.Errorf("%d lines of %d addresses", n, 3*maxRefusals)
		}
		time.Sleep(refusalsEvery) // by the bubble's clock
		synctest.Wait()
		if len(h.Refusals.more) != 0 {
			t.Errorf("%d are kept", len(h.Refusals.more))
		}
	})
}
