package main

import (
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
)

// tellSystemd says READY, STOPPING and, while the process lives, that its watchdog need not bite
// (sd_notify(3)). Without systemd it does nothing. The function that it returns ends it and waits.
func tellSystemd(ready, drain <-chan struct{}, log zerolog.Logger) (stop func()) {
	notify := func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn().Err(err).Str("state", state).Msg("cannot notify systemd, which may think that the daemon hangs")
		}
	}
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn().Err(err).Msg("systemd's watchdog interval is not understood")
	}
	var tick <-chan time.Time
	if every > 0 {
		t := time.NewTicker(every / 2)
		tick = t.C
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-ready:
				notify(daemon.SdNotifyReady)
				ready = nil
			case <-drain:
				notify(daemon.SdNotifyStopping)
				drain = nil
			case <-tick:
				notify(daemon.SdNotifyWatchdog)
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}
