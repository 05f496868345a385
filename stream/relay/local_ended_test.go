package relay

import (
	"errors"
	"testing"
)

// That the local application has ended its stream is known once its peer can know, and not of one
// that a failure has ended.
func TestLocalEnded(t *testing.T) {
	eachHop(t, func(t *testing.T, h hop) {
		c := h.start(t)
		ended := func(i int) bool { return c.count[i].LocalEnded.Load() }
		sent := noise(100_000)
		go func() {
			writeAll(t, c.app[0], sent)
			closeWriteOf(t, c.app[0])
		}()
		expectEnd(t, c.app[1], sent)
		if !ended(0) || ended(1) {
			t.Errorf("%v and %v after the first has ended its stream", ended(0), ended(1))
		}
		c.cancel[1](errors.New("the test's"))
		c.wait(t, 1)
		if ended(1) {
			t.Error("a failure is taken for the end of a stream")
		}
		c.close(t)
	})
}
