package record

import (
	"crypto/tls"
	"net"
	"testing"

	"golang.org/x/net/nettest"
)

func TestNetConn(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			a, b := pair(t, testSuite(id))
			a.keyRecords, b.keyRecords = 50, 70 // keys change all the time
			return a, b, func() { a.Close(); b.Close() }, nil
		})
	})
}

// A write that failed may have sent a part of a record. Nothing follows it.
func TestNothingAfterAnError(t *testing.T) {
	a, b := pair(t, testSuite(tls.TLS_AES_128_GCM_SHA256))
	b.raw.(*net.TCPConn).SetLinger(0)
	b.raw.Close()
	var err error
	for err == nil {
		_, err = a.Write(noise(100_000))
	}
	before := a.out.half.seq
	if _, again := a.Write([]byte("x")); again == nil || again.Error() != err.Error() {
		t.Errorf("the next write: %v, want %v", again, err)
	}
	if a.CloseWrite() == nil {
		t.Error("closed in order after an error")
	}
	if a.out.half.seq != before {
		t.Error("records were sealed after an error")
	}
}

func TestNoAllocations(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		a, b := pair(t, suites[id])
		var batch Batch
		defer batch.Release()
		got := testing.AllocsPerRun(100, func() {
			n := batch.Room()
			if err := a.Send(&batch, n); err != nil {
				t.Fatal(err)
			}
			batch.Sent(n)
			for n > 0 {
				plain, err := b.Receive()
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range plain {
					n -= len(p)
				}
			}
		})
		if got > 2 { // batches grow in the first rounds
			t.Errorf("%v allocations for each batch", got)
		}
		a.Close()
		b.Close()
	})
}
