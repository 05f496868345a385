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
	Slowest   float64 `json:"slowest_to_median,omitempty"` // of the streams: what it moved beside round trips
	Fastest   float64 `json:"fastest_to_median,omitempty"`
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
	n := w.streams
	if w.beside {
		n += probes
	}
	streams := make([]net.Conn, 0, n)
	connects := make([]float64, n)
	for i := range n {
		one, took, err := p.connect(deadline)
		if err != nil {
			return err
		}
		defer one.Close()
		defer context.AfterFunc(ctx, func() { one.Close() })()
		streams, connects[i] = append(streams, one), took.Seconds()
	}
	s.Connect = Median(connects)
	if !w.bulk() { // warm
		if _, err := p.pingPong(streams[0], w.message, r.opts.Pings/10); err != nil {
			return err
		}
	}
	send0, take0, err := p.usage()
	if err != nil {
		return err
	}
	begun := time.Now()
	var times []float64
	switch {
	case w.beside:
		var moved []int64
		moved, times, err = p.beside(streams, besideFor)
		s.streams(moved)
	case w.bulk():
		s.Bytes, err = p.bulk(streams, w.both, size)
	default:
		times, err = p.pingPong(streams[0], w.message, r.opts.Pings)
	}
	if err != nil {
		return err
	}
	s.Seconds = time.Since(begun).Seconds()
	if len(times) > 0 {
		s.P50, s.P99, s.P999 = quantile(times, 0.5), quantile(times, 0.99), quantile(times, 0.999)
	}
	send, take, err := p.usage()
	s.CPUSend, s.CPUTake = (send.cpu - send0.cpu).Seconds(), (take.CPU - take0.CPU).Seconds()
	s.RSSSend, s.RSSTake = send.peak, take.Peak
	return err
}

// streams takes what each of them has moved.
func (s *Sample) streams(moved []int64) {
	if len(moved) == 0 {
		return
	}
	each := make([]float64, len(moved))
	for i, n := range moved {
		each[i] = float64(n)
		s.Bytes += n
	}
	s.Slowest, s.Fastest = slices.Min(each)/Median(each), slices.Max(each)/Median(each)
}

// usage is what both relays have used so far.
func (p *pair) usage() (near usage, far FarUsage, err error) {
	near, err = usageOf(p.sends.Process.Pid)
	return near, far, errors.Join(err, p.far.Call("Far.Usage", None{}, &far))
}

const (
	writeSize = 256 << 10 // what QEMU's channel writes at once, or so
	readSize  = 1 << 20
)

// pages are what is sent, some pieces: no compression could make it less.
var pages = sync.OnceValue(func() []byte {
	b := make([]byte, 16<<20)
	rand.NewChaCha8([32]byte{}).Read(b)
	for at := 0; at < len(b); at += writeSize {
		b[at] = more
	}
	return b
})

// bulk moves size bytes, over all streams, and returns how many that were.
func (p *pair) bulk(streams []net.Conn, both bool, size int64) (int64, error) {
	each := size / int64(len(streams))
	sink := p.far.Go("Far.Bulk", FarBulk{each, both}, &None{}, nil)
	moved := each * int64(len(streams))
	var wg sync.WaitGroup
	errs := make(chan error, 2*len(streams))
	for _, s := range streams {
		wg.Go(func() { errs <- send(s, each) })
		if both {
			moved += each
			wg.Go(func() { errs <- receive(s, each) })
		}
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return moved, err
		}
	}
	return moved, (<-sink.Done).Error
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
func (p *pair) pingPong(s net.Conn, size, n int) ([]float64, error) {
	echo := p.far.Go("Far.Echo", FarEcho{size, n}, &None{}, nil)
	times := make([]float64, n)
	buf := make([]byte, size)
	for i := range times {
		begun := time.Now()
		if _, err := s.Write(buf); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(s, buf); err != nil {
			return nil, err
		}
		times[i] = time.Since(begun).Seconds()
	}
	slices.Sort(times)
	return times, (<-echo.Done).Error
}
