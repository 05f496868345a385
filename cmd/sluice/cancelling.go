package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

const (
	// sameWish is how soon after the first a signal says nothing new: timeout(1) signals its command
	// and then its own process group, with the command in it.
	sameWish = time.Second
	// lastWait is how long a second wish waits for the outcome. A guest that is safe is worth it.
	lastWait = 10 * time.Second
)

// untilCancelled calls cancel at the first SIGINT or SIGTERM, and notes what is waited for. The second
// has leave called after lastWait, and the third at once; until stop.
func untilCancelled(cancel func(), leave context.CancelCauseFunc, note func(string), waitsFor string) (stop func()) {
	var first time.Time
	var last *time.Timer // once there was a second
	ignore := onSignals(func(os.Signal) {
		first = time.Now()
		note("cancelling; waiting until " + waitsFor)
		cancel()
	}, func(os.Signal) {
		switch {
		case time.Since(first) < sameWish:
		case last == nil:
			note(fmt.Sprintf("waiting for the outcome, for %v more at the most (Ctrl-C again does not wait)", lastWait))
			last = time.AfterFunc(lastWait, func() {
				leave(fmt.Errorf("not waited for: no outcome for %v after a second interruption", lastWait))
			})
		default:
			leave(errors.New("not waited for: interrupted three times"))
		}
	}, syscall.SIGINT, syscall.SIGTERM)
	return func() {
		ignore()
		if last != nil {
			last.Stop()
		}
	}
}
