package bench

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// Sample is one measurement.
type Sample struct {
	Work      string  `json:"work"`
	Contender string  `json:"contender"`
	Round     int     `json:"round"`
	Bytes     int64   `json:"bytes,omitempty"` // through the relays, all streams and directions together
	Seconds   float64 `json:"seconds"`
	CPUSend   float64 `json:"cpu_seconds_sending"` // of the relay at the source
	CPUTake   float64 `json:"cpu_seconds_receiving"`
	RSSSend   int64   `json:"rss_bytes_sending"` // the most, of all its processes
	RSSTake   int64   `json:"rss_bytes_receiving"`
	Connect   float64 `json:"connect_seconds"` // median of the streams, until a byte was back
	P50       float64 `json:"p50_seconds,omitempty"`
	P99       float64 `json:"p99_seconds,omitempty"`
	P999      float64 `json:"p999_seconds,omitempty"`
	Error     string  `json:"error,omitempty"`
}

// slowest is the least rate that is waited for, in bytes per second.
const slowest = 20 << 20

// measure has a contender do a work once.
func (r *run) measure(ctx context.Context, c contender, w work, round int) Sample {
	s := Sample{Work: w.name, Contender: c.name, Round: round}
	size := r.opts.Size / int64(w.part)
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(size/slowest)*time.Second)
	defer cancel()
	if err := r.fill(ctx, c, w, size, &s); err != nil {
		s.Error = err.Error()
	}
	return s
}

func (r *run) fill(ctx context.Context, c contender, w work, size int64, s *Sample) (err error) {
	p, err := r.start(ctx, c)
	if err != nil {
		return err
	}
	defer p.stop()
	defer func() {
		if err != nil {
			err = errors.New(err.Error() + p.said())
		}
	}()
	deadline, _ := ctx.Deadline()
	streams := make([]stream, 0, w.streams)
	connects := make([]float64, w.streams)
	for i := range w.streams {
		one, took, err := p.connect(deadline)
		if err != nil {
			return err
		}
		defer one.close()
		defer context.AfterFunc(ctx, one.close)()
		streams, connects[i] = append(streams, one), took.Seconds()
	}
	s.Connect = Median(connects)
	if w.message > 0 { // warm
		if _, err := pingPong(streams[0], w.message, r.opts.Pings/10); err != nil {
			return err
		}
	}
	send0, err1 := usageOf(p.sends.Process.Pid)
	take0, err2 := usageOf(p.takes.Process.Pid)
	begun := time.Now()
	if w.message > 0 {
		times, err := pingPong(streams[0], w.message, r.opts.Pings)
		if err != nil {
			return err
		}
		s.P50, s.P99, s.P999 = quantile(times, 0.5), quantile(times, 0.99), quantile(times, 0.999)
	} else if s.Bytes, err = r.bulk(streams, w.both, size); err != nil {
		return err
	}
	s.Seconds = time.Since(begun).Seconds()
	send, err3 := usageOf(p.sends.Process.Pid)
	take, err4 := usageOf(p.takes.Process.Pid)
	s.CPUSend, s.CPUTake = (send.cpu - send0.cpu).Seconds(), (take.cpu - take0.cpu).Seconds()
	s.RSSSend, s.RSSTake = send.peak, take.peak
	return errors.Join(err1, err2, err3, err4)
}

const (
	writeSize = 256 << 10 // what QEMU's channel writes at once, or so
	readSize  = 1 << 20
)

// pages are what is sent: no compression could make it less.
var pages = sync.OnceValue(func() []byte {
	b := make([]byte, 16<<20)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
})

// bulk moves size bytes, over all streams, and returns how many that were.
func (r *run) bulk(streams []stream, both bool, size int64) (int64, error) {
	each := size / int64(len(streams))
	var moved int64
	var wg sync.WaitGroup
	errs := make(chan error, 4*len(streams))
	move := func(from, to net.Conn) {
		moved += each
		wg.Go(func() { errs <- send(from, each) })
		wg.Go(func() { errs <- receive(to, each) })
	}
	for _, s := range streams {
		move(s.source, s.sink)
		if both {
			move(s.sink, s.source)
		}
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return moved, err
		}
	}
	return moved, nil
}

func send(c net.Conn, n int64) error {
	data := pages()
	for at := 0; n > 0; at = (at + writeSize) % len(data) {
		piece := data[at:][:min(n, writeSize)]
		if _, err := c.Write(piece); err != nil {
			return err
		}
		n -= int64(len(piece))
	}
	return nil
}

func receive(c net.Conn, n int64) error {
	buf := make([]byte, readSize)
	for n > 0 {
		m, err := c.Read(buf[:min(n, readSize)])
		if err != nil {
			return err
		}
		n -= int64(m)
	}
	return nil
}

// pingPong returns the times of n round trips, sorted, in seconds.
func pingPong(s stream, size, n int) ([]float64, error) {
	echo := make(chan error, 1)
	go func() {
		buf := make([]byte, size)
		for range n {
			if _, err := io.ReadFull(s.sink, buf); err != nil {
				echo <- err
				return
			}
			if _, err := s.sink.Write(buf); err != nil {
				echo <- err
				return
			}
		}
		echo <- nil
	}()
	times := make([]float64, n)
	buf := make([]byte, size)
	for i := range times {
		begun := time.Now()
		if _, err := s.source.Write(buf); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(s.source, buf); err != nil {
			return nil, err
		}
		times[i] = time.Since(begun).Seconds()
	}
	slices.Sort(times)
	return times, <-echo
}
