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
		h, log := new(Host), zerolog.New(&out)
		for i := range 10_000 {
			h.Refused(log, "connection refused", "192.0.2.66", errors.New(fmt.Sprint(i)+strings.Repeat("ü", 1<<16)))
		}
		if n := strings.Count(out.String(), "\n"); n != firstRefusals || out.Len() > firstRefusals*(longestRefusal+200) {
			t.Errorf("%d lines, %d bytes", n, out.Len())
		}
		time.Sleep(refusalsEvery)
		synctest.Wait()
		if !strings.Contains(out.String(), fmt.Sprintf(`"more":%d`, 10_000-firstRefusals)) {
			t.Errorf("the others are not counted: %s", out.String())
		}
		out.Reset()
		for i := range 3 * maxRefusals {
			h.Refused(log, "connection refused", fmt.Sprint(i), errors.New("no"))
		}
		if n := strings.Count(out.String(), "\n"); n != maxRefusals+firstRefusals {
			t.Errorf("%d lines of %d addresses", n, 3*maxRefusals)
		}
		time.Sleep(refusalsEvery)
		synctest.Wait()
		if len(h.Refusals.more) != 0 {
			t.Errorf("%d are kept", len(h.Refusals.more))
		}
	})
}
