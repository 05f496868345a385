// This file becomes part of cmd/sluice in the tests' build of it: at SIGUSR1
// the daemon writes what all its goroutines do to $SLUICE_GOROUTINES.
package main

import (
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"syscall"
)

func init() {
	path := os.Getenv("SLUICE_GOROUTINES")
	if path == "" {
		return
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			runtime.GC() // closes what only a finalizer would
			f, err := os.Create(path + ".part")
			if err != nil {
				panic(err)
			}
			pprof.Lookup("goroutine").WriteTo(f, 2)
			f.Close()
			os.Rename(path+".part", path)
		}
	}()
}
