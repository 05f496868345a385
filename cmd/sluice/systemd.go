package main

import (
	"os"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
)

// summaryEvery is how often it is looked whether what systemd shows of the daemon still holds.
const summaryEvery = time.Second

// tellSystemd says READY, STOPPING and, while the process lives, how it is and that its watchdog
// need not bite (sd_notify(3)), until another process has followed this one. Without systemd it does
// nothing. The function that it returns ends it and waits.
func tellSystemd(ready, drain, followed <-chan struct{}, summary func() string, log zerolog.Logger) (stop func()) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return func() {}
	}
	notify := func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn().Err(err).Str("state", state).Msg("cannot notify systemd, which may think that the daemon hangs")
		}
	}
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn().Err(err).Msg("systemd's watchdog interval is not understood")
	}
	var tick, look <-chan time.Time
	told := ""
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
				told = summary()
				notify(daemon.SdNotifyReady + "\nSTATUS=" + told)
				ready = nil
				t := time.NewTicker(summaryEvery)
				defer t.Stop()
				look = t.C
			case <-look:
				if now := summary(); now != told {
					told = now
					notify("STATUS=" + told)
				}
			case <-drain:
				notify(daemon.SdNotifyStopping)
				drain = nil
			case <-tick:
				notify(daemon.SdNotifyWatchdog)
			case <-followed: // the other process speaks for the service
				return
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
