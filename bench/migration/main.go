// Migration measures one guest's migration by every way that libvirt has,
// and through sluice, in the same lab and the same run:
//
//	tcp      libvirt peer-to-peer, memory over plain TCP
//	sluice   sluice migrate, TLS 1.3
//	tls      libvirt peer-to-peer with QEMU's own TLS (virsh migrate --tls)
//	tunnel   libvirt's tunnelled mode
//
// Ways take turns within a round, and ratios are taken within a round, because
// a shared machine's speed drifts. Seconds are of the whole command; CPU is
// what the whole machine spent meanwhile, so nothing else should run on it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/virt-sluice/sluice/bench"
	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/site"
)

type options struct {
	binary string
	memory int // MiB
	rounds int
	paused bool
	json   bool
}

func main() {
	var o options
	flag.StringVar(&o.binary, "sluice", "bin/sluice", "the sluice `PROGRAM` to measure")
	flag.IntVar(&o.memory, "memory", 1024, "the guest's memory in `MiB`")
	flag.IntVar(&o.rounds, "rounds", 3, "how `OFTEN` each way is measured")
	flag.BoolVar(&o.paused, "paused", false, "measure a paused guest: the data path without the emulator's noise")
	flag.BoolVar(&o.json, "json", false, "print every measurement as JSON instead of the table")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "migration:", err)
		os.Exit(1)
	}
}

// measurement is one migration.
type measurement struct {
	Way     string  `json:"way"`
	Round   int     `json:"round"`
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"` // of the whole machine
}

func run(ctx context.Context, o options) (err error) {
	l, err := lab.Up(ctx, lab.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Down()) }()
	s, err := site.Start(ctx, l, site.Options{Binary: o.binary})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	g, err := l.A.StartGuest(ctx, lab.GuestSpec{Name: "bench", MemoryMiB: o.memory, Paused: o.paused})
	if err != nil {
		return err
	}

	b := &moving{lab: l, site: s, guest: g, at: s.A}
	ways := []string{"tcp", "sluice", "tls", "tunnel"}
	var all []measurement
	// One migration that is not counted: each host's first has caches to fill.
	for _, way := range []string{"tcp", "sluice"} {
		if _, err := b.migrate(ctx, way); err != nil {
			return err
		}
	}
	for round := range o.rounds {
		for i := range ways {
			// Another way begins each round.
			m, err := b.migrate(ctx, ways[(round+i)%len(ways)])
			if err != nil {
				return err
			}
			m.Round = round + 1
			all = append(all, *m)
		}
	}
	if !o.paused {
		if err := l.CheckOnlyOn(ctx, g, b.at.Host); err != nil {
			return err
		}
	}
	if o.json {
		return json.NewEncoder(os.Stdout).Encode(all)
	}
	return table(o, ways, all)
}

// moving is the guest and where it is now.
type moving struct {
	lab   *lab.Lab
	site  *site.Site
	guest *lab.Guest
	at    *site.Daemon
}

// migrate moves the guest to the other host and measures that.
func (b *moving) migrate(ctx context.Context, way string) (*measurement, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	to := b.at.Host.Peer().Name
	args := map[string][]string{
		"tcp":    {"migrate", "--live", "--p2p", b.guest.Name, "qemu+tcp://" + to + "/system"},
		"tls":    {"migrate", "--live", "--p2p", "--tls", b.guest.Name, "qemu+tcp://" + to + "/system"},
		"tunnel": {"migrate", "--live", "--p2p", "--tunnelled", b.guest.Name, "qemu+tcp://" + to + "/system"},
	}[way]
	cpu, err := machineCPU()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	var out []byte
	if way == "sluice" {
		out, err = b.at.Command(ctx, "migrate", b.guest.Name, to).CombinedOutput()
	} else {
		var text string
		text, err = b.at.Host.Virsh(ctx, args...)
		out = []byte(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", way, err, out)
	}
	m := &measurement{Way: way, Seconds: time.Since(start).Seconds()}
	after, err := machineCPU()
	if err != nil {
		return nil, err
	}
	m.CPU = (after - cpu).Seconds()
	if b.at = b.site.A; to == b.site.B.Host.Name {
		b.at = b.site.B
	}
	return m, nil
}

// machineCPU is the time that the machine's processors have worked, from the
// first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq.
func machineCPU() (time.Duration, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	var f [7]int64
	if _, err := fmt.Sscanf(string(data), "cpu %d %d %d %d %d %d %d", &f[0], &f[1], &f[2], &f[3], &f[4], &f[5], &f[6]); err != nil {
		return 0, fmt.Errorf("read /proc/stat: %w", err)
	}
	const tick = time.Second / 100 // USER_HZ
	return time.Duration(f[0]+f[1]+f[2]+f[5]+f[6]) * tick, nil
}

func table(o options, ways []string, all []measurement) error {
	of := func(way string, figure func(measurement) float64) (values []float64) {
		for _, m := range all {
			if m.Way == way {
				values = append(values, figure(m))
			}
		}
		return values
	}
	seconds := func(m measurement) float64 { return m.Seconds }
	gib := float64(o.memory) / 1024
	state := "running"
	if o.paused {
		state = "paused"
	}
	fmt.Printf("%s guest of %d MiB, %d rounds, medians (least to most); %d cores, TCP %s, %s\n\n",
		state, o.memory, o.rounds, runtime.NumCPU(), lab.CongestionControl, time.Now().Format(time.DateOnly))
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "way\tseconds\tGiB/s\tCPU-s per GiB\ttime against tcp\ttime against tls")
	for _, way := range ways {
		s := of(way, seconds)
		ratio := func(other string) float64 { return bench.Median(bench.Ratios(s, of(other, seconds))) }
		fmt.Fprintf(w, "%s\t%.2f (%.2f to %.2f)\t%.2f\t%.2f\t%.2f\t%.2f\n", way, bench.Median(s), slices.Min(s), slices.Max(s), gib/bench.Median(s),
			bench.Median(of(way, func(m measurement) float64 { return m.CPU }))/gib, ratio("tcp"), ratio("tls"))
	}
	return w.Flush()
}
