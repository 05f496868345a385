package main

import (
	"testing"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/stand"
)

// All threads of a relay are a batch job's, also those that it makes later.
func TestBatch(t *testing.T) {
	s := stand.New(t, "sluice")
	p, _ := s.Tunnel("", "--listen", "unix:in.sock", "--to", s.Echo("unix", s.Path("out.sock")))
	c := s.Dial("unix", s.Path("in.sock"))
	if _, err := c.Write(make([]byte, 64<<10)); err != nil {
		t.Fatal(err)
	}
	batched(t, p.Process.Pid)
}

func batched(t *testing.T, pid int) {
	t.Helper()
	threads, err := procfs.AllThreads(pid)
	if err != nil || len(threads) < 2 {
		t.Fatalf("%d threads, %v", len(threads), err)
	}
	for _, thread := range threads {
		if stat, err := thread.Stat(); err != nil || stat.Policy != unix.SCHED_BATCH {
			t.Errorf("thread %d has policy %d, %v", thread.PID, stat.Policy, err)
		}
	}
}
