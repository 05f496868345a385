package web

import (
	"context"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// One who asks for checks without end has them made with a pause between them, however long they take.
func TestChecksHavePauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const takes = 3 * time.Second
		var begun, ended []time.Time
		p := &Page{Options: Options{Check: func(_ context.Context, r *control.CheckRequest) (*control.Report, error) {
			if !r.All {
				begun = append(begun, time.Now())
			}
			time.Sleep(takes)
			if r.All {
				ended = append(ended, time.Now())
			}
			return new(control.Report), nil
		}}}
		p.feed = newFeed(&p.Options)
		stop := make(chan struct{})
		p.feed.work.Go(func() { p.feed.check(stop) })
		for range 100 {
			p.checkAgain(httptest.NewRecorder(), nil)
			time.Sleep(time.Second)
		}
		close(stop)
		p.feed.work.Wait()
		if len(begun) < 5 {
			t.Errorf("checks began at %v", begun)
		}
		for i := range begun[1:] {
			if pause := begun[i+1].Sub(ended[i]); pause < checkLeast {
				t.Errorf("check %d began %v after the one before it", i+1, pause)
			}
		}
	})
}
