package bench

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"net"
	"net/rpc"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/needs"
)

func TestFigures(t *testing.T) {
	if f := FigureOf([]float64{3, 1, 2, 10}); f != (Figure{2.5, 1, 10}) {
		t.Errorf("%+v", f)
	}
	if f := FigureOf(nil); f != (Figure{}) {
		t.Errorf("%+v", f)
	}
	sorted := make([]float64, 1000)
	for i := range sorted {
		sorted[i] = float64(i)
	}
	for q, want := range map[float64]float64{0.5: 500, 0.99: 990, 0.999: 999, 1: 999} {
		if got := quantile(sorted, q); got != want {
			t.Errorf("quantile %v is %v", q, got)
		}
	}
}

// made is a report of two rounds, the second on a machine half as fast.
func made() *Report {
	rep := &Report{Rounds: 2, AES: []AES{{Sluice: 0.5, Go: 0.6, OpenSSL: 0.3}, {Sluice: 1, Go: 0.6, OpenSSL: 0}}, Entrants: []Entrant{{Name: "<sluice>"}}}
	for round, slow := range []float64{1, 2} {
		for name, cpu := range map[string]float64{"splice": 0.5, "sluice": 1.25, "haproxy": 2.5, "nginx": 3} {
			rep.Samples = append(rep.Samples,
				Sample{Work: "1", Contender: name, Round: round + 1, Bytes: 1e9, Seconds: map[string]float64{"splice": 1, "sluice": 2, "haproxy": 5, "nginx": 4}[name] * slow, CPUSend: cpu * slow / 2, CPUTake: cpu * slow / 2},
				Sample{Work: "ping-1", Contender: name, Round: round + 1, Seconds: 1, P50: cpu * slow * 1e-4, P99: cpu * slow * 1e-3},
				Sample{Work: "beside-16", Contender: name, Round: round + 1, Bytes: 1e9, Seconds: slow, CPUSend: cpu * slow, P50: cpu * slow * 1e-3, P99: cpu * slow * 1e-2, Slowest: 0.5, Fastest: 1.5})
		}
		rep.Samples = append(rep.Samples, Sample{Work: "1", Contender: "socat", Round: round + 1, Error: "it broke\nin two"})
	}
	var there []contender
	for _, c := range contenders {
		if strings.Contains("splice sluice haproxy nginx socat", c.name) {
			there = append(there, c)
		}
	}
	rep.summarise(slices.DeleteFunc(slices.Clone(works), func(w work) bool { return !slices.Contains([]string{"1", "ping-1", "beside-16"}, w.name) }), there)
	return rep
}

// Ratios are taken within a round: here they are the same in both.
func TestSummary(t *testing.T) {
	rep := made()
	bulk, ping, beside := rep.Tables[0], rep.Tables[1], rep.Tables[2]
	if bulk.Best != (Best{PerCPU: "haproxy", PerSecond: "nginx"}) || ping.Best != (Best{P50: "haproxy", P99: "haproxy"}) || beside.Best.P99 != "haproxy" || beside.Best.PerCPU != "haproxy" {
		t.Errorf("best are %+v, %+v and %+v", bulk.Best, ping.Best, beside.Best)
	}
	if bulk.Limit != (Figure{0.9375, 0.625, 1.25}) || bulk.OwnAES != (Figure{0.75, 0.5, 1}) {
		t.Errorf("limit %+v, with sluice's AES %+v", bulk.Limit, bulk.OwnAES)
	}
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
	for _, r := range bulk.Rows {
		if r.Contender == "sluice" && (!near(r.Share, 0.64) || !near(r.OwnShare, 0.8) || !near(r.Against.PerCPU, 2) || !near(r.Against.PerSecond, 2) || !near(r.PerCPU.Most, 0.8)) {
			t.Errorf("%+v", r)
		}
		if r.Contender == "socat" && (r.Rounds != 0 || r.Error == "") {
			t.Errorf("%+v", r)
		}
	}
	for _, r := range ping.Rows {
		if r.Contender == "sluice" && (!near(r.Against.P50, 0.5) || !near(r.Against.P99, 0.5) || r.Share != 0) {
			t.Errorf("%+v", r)
		}
	}
	for _, r := range beside.Rows {
		if r.Contender == "sluice" && (!near(r.Against.P99, 0.5) || !near(r.Against.PerCPU, 2) || !near(r.Share, 0.64) || !near(r.Slowest.Median, 0.5) || !near(r.Fastest.Most, 1.5)) {
			t.Errorf("%+v", r)
		}
	}
}

// What streams have moved is told by the median of them.
func TestFairness(t *testing.T) {
	var s Sample
	if s.streams([]int64{40, 10, 20, 30, 20}); s.Bytes != 120 || s.Slowest != 0.5 || s.Fastest != 2 {
		t.Errorf("%+v", s)
	}
}

// Every stream beside round trips is read to its last piece, and no byte of it is lost.
func TestBeside(t *testing.T) {
	var near, far []net.Conn
	for range probes + 3 {
		a, b := net.Pipe()
		near, far = append(near, a), append(far, b)
	}
	f := &Far{arrived: &arrivals{streams: far}}
	here, there := net.Pipe()
	go f.serve(there)
	p := &pair{far: rpc.NewClient(here)}
	defer p.far.Close()
	moved, times, err := p.beside(near, 200*time.Millisecond)
	if err != nil || len(moved) != 3 || len(times) < probes || !slices.IsSorted(times) {
		t.Fatalf("%v, %d round trips, %v", moved, len(times), err)
	}
	for _, n := range moved {
		if n < writeSize || n%writeSize != 0 {
			t.Errorf("moved %v", moved)
		}
	}
	for i, c := range near {
		c.Close()
		if n, err := far[i].Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("stream %d has %d bytes more, %v", i, n, err)
		}
	}
}

func TestOutput(t *testing.T) {
	rep := made()
	var table, plot strings.Builder
	if err := errors.Join(rep.Write(&table), rep.Plot(&plot)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one stream (best of the others: haproxy in GB/CPU-s, nginx in GB/s)", "socat failed 2 of 2 times: it broke in two", "  limit", "  own limit",
		"16 streams (best of the others: haproxy in p50, haproxy in p99, haproxy in GB/CPU-s, haproxy in GB/s)", "fastest"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is not in\n%s", want, table.String())
		}
	}
	dec := xml.NewDecoder(strings.NewReader(plot.String()))
	for {
		if _, err := dec.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, plot.String())
		}
	}
}

// What a process is seen to use and to listen at, of ourselves and of one that does nothing.
func TestProcess(t *testing.T) {
	l := newLauncher(false)
	defer l.close()
	cmd := exec.Command("sleep", "60")
	if err := l.start(cmd); err != nil {
		t.Fatal(err)
	}
	u, err := usageOf(cmd.Process.Pid)
	if err != nil || u.cpu > time.Second || u.peak < 100<<10 || u.peak > 100<<20 {
		t.Errorf("%+v, %v", u, err)
	}
	if listens(cmd.Process.Pid, "127.0.0.1:1") || listens(cmd.Process.Pid, "/none") {
		t.Error("it seems to listen")
	}
	cmd.Process.Kill()
	cmd.Wait()
	if _, err := usageOf(cmd.Process.Pid); err == nil {
		t.Error("it seems to live")
	}
}

// A contender that does not do its work is a sample with its words, and the run goes on.
func TestBrokenContender(t *testing.T) {
	needs.Program(t, "openssl")
	rep, err := Run(context.Background(), Options{Sluice: "/bin/false", Busy: true, Size: 1 << 20, Rounds: 1, Pings: 100, Only: []string{"sluice"}, Works: []string{"1"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Samples) != 1 || !strings.Contains(rep.Samples[0].Error, "has ended") {
		t.Errorf("%+v", rep.Samples)
	}
	// What OpenSSL says is read in its unit: on no processor is one AES a hundred
	// times as fast as another.
	for _, cost := range []float64{rep.AES[0].Sluice, rep.AES[0].Go, rep.AES[0].OpenSSL} {
		if cost <= 0 || cost > 100*rep.AES[0].best() {
			t.Errorf("%+v", rep.AES)
		}
	}
}
