package relay

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// readBytes is how many bytes the process has read by read(2) and its like,
// which splice(2) is not (proc_pid_io(5), rchar).
func readBytes(t *testing.T) (n int64) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(b), "rchar: %d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// That splice ran is the kernel's word: on a spliced hop only the test's own
// reader reads; on a copied one the relays do, too.
func TestSpliceReallyRan(t *testing.T) {
	const n = 2 << 20
	for _, h := range hops {
		reads := map[Path]int64{Splice: 1, Copy: 3, KTLS: 1}[h.path]
		if reads == 0 || h.far != "" || h.name == "ktls receive" {
			continue
		}
		t.Run(h.name, func(t *testing.T) {
			c := h.start(t)
			b := noise(n)
			before := readBytes(t)
			var wg sync.WaitGroup
			wg.Go(func() { writeAll(t, c.app[0], b); closeWriteOf(t, c.app[0]) })
			expect(t, c.app[1], b)
			wg.Wait()
			closeWriteOf(t, c.app[1])
			c.orderly(t, n, 0)
			if got := readBytes(t) - before; got < reads*n || got > reads*n+n/8 {
				t.Errorf("%d bytes read for a stream of %d, want %d times that", got, n, reads)
			}
		})
	}
}

// A pipe with bytes of one stream must never serve another.
func TestPipeWithDataIsClosed(t *testing.T) {
	dropPipes()
	defer dropPipes()
	p, err := getPipe()
	if err != nil {
		t.Fatal(err)
	}
	putPipe(p)
	if q, err := getPipe(); err != nil || q != p {
		t.Fatal("an empty pipe was not kept")
	}
	if p.data, err = unix.Write(p.w, []byte("left")); err != nil {
		t.Fatal(err)
	}
	putPipe(p)
	if len(pipes.free) != 0 {
		t.Error("a pipe that holds bytes was kept")
	}
	if _, err := unix.FcntlInt(uintptr(p.r), unix.F_GETFD, 0); err != unix.EBADF {
		t.Errorf("its fd: %v, want it closed", err)
	}
}
