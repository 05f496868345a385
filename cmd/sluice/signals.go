package main

import (
	"os"
	"os/signal"
)

// onSignals calls first at the first of signals and then at every further
// one, until the function that it returns is called.
func onSignals(first, then func(os.Signal), signals ...os.Signal) (stop func()) {
	arrived := make(chan os.Signal, 2)
	signal.Notify(arrived, signals...)
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for react := first; ; react = then {
			select {
			case s := <-arrived:
				react(s)
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(arrived)
		close(done)
		<-gone
	}
}
