package bench

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	besideFor = 5 * time.Second
	probes    = 8 // streams with round trips: one would have too few for a p99 beside many others
)

// What each piece, and each round trip, begins with: whether it is its stream's last.
const (
	more = iota
	last
)

// FarBeside is bulk work with round trips beside it, on the first so many streams.
type FarBeside struct{ Probes int }

// Beside does the sink's part, and replies with what each stream of bulk work brought.
func (f *Far) Beside(args FarBeside, moved *[]int64) error {
	streams, err := f.arrived.all()
	if err != nil {
		return err
	}
	*moved = make([]int64, len(streams)-args.Probes)
	var wg sync.WaitGroup
	errs := make(chan error, len(streams))
	for i, c := range streams {
		wg.Go(func() {
			if i < args.Probes {
				errs <- echo(c)
			} else {
				errs <- takePieces(c, &(*moved)[i-args.Probes])
			}
		})
	}
	wg.Wait()
	return joined(errs)
}

// beside moves bytes over all streams but the first, for a while, and has round trips of a byte on
// those. It returns what each stream has moved, and the round trips' times in seconds, sorted.
func (p *pair) beside(streams []net.Conn, lasts time.Duration) (moved []int64, times []float64, err error) {
	sink := p.far.Go("Far.Beside", FarBeside{probes}, &moved, nil)
	end := time.Now().Add(lasts)
	var wg sync.WaitGroup
	var mu sync.Mutex
	errs := make(chan error, len(streams))
	for _, c := range streams[:probes] {
		wg.Go(func() {
			took, err := roundTrips(c, end)
			errs <- err
			mu.Lock()
			defer mu.Unlock()
			times = append(times, took...)
		})
	}
	for _, c := range streams[probes:] {
		wg.Go(func() { errs <- sendPieces(c, end) })
	}
	wg.Wait()
	if err := joined(errs); err != nil {
		return nil, nil, err
	}
	slices.Sort(times)
	return moved, times, (<-sink.Done).Error
}

func joined(errs chan error) (err error) {
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	return err
}

func sendPieces(c net.Conn, end time.Time) error {
	for at := 0; time.Now().Before(end); at = (at + writeSize) % len(pages()) {
		if _, err := c.Write(pages()[at:][:writeSize]); err != nil {
			return err
		}
	}
	piece := slices.Clone(pages()[:writeSize])
	piece[0] = last
	_, err := c.Write(piece)
	return err
}

func takePieces(c net.Conn, moved *int64) error {
	piece := make([]byte, writeSize)
	for {
		if _, err := io.ReadFull(c, piece); err != nil {
			return err
		}
		if *moved += writeSize; piece[0] == last {
			return nil
		}
	}
}

func roundTrips(c net.Conn, end time.Time) (times []float64, err error) {
	for b := []byte{more}; b[0] != last; {
		begun := time.Now()
		if begun.After(end) {
			b[0] = last
		}
		if _, err := c.Write(b); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(c, b); err != nil {
			return nil, err
		}
		times = append(times, time.Since(begun).Seconds())
	}
	return times, nil
}

func echo(c net.Conn) error {
	for b := []byte{more}; b[0] != last; {
		if _, err := io.ReadFull(c, b); err != nil {
			return err
		}
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
	return nil
}
