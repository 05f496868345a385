// Migration measures one guest's migration by every way that libvirt has,
// and through sluice, in the same lab and the same run:
//
//	tcp      libvirt peer-to-peer, memory over plain TCP
//	sluice   sluice migrate, TLS 1.3
//	tls      libvirt peer-to-peer with QEMU's own TLS (virsh migrate --tls)
//	tunnel   libvirt's tunnelled mode
//
// Each is measured with a guest that runs and with one that is paused, which
// shows the data path without the emulator's noise.
//
// The guest's memory is in huge pages, which the machine keeps meanwhile. Small ones say more of
// where the destination's come from: a virtual machine that reports its free pages to its host gets
// them back at up to four times the cost, the more the longer ago they were freed. --small-pages
// measures with small ones.
//
// Ways take turns within a round, and ratios are taken within a round, because
// a shared machine's speed drifts. Seconds are of the whole command; CPU is
// what the whole machine spent meanwhile, so nothing else should run on it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/virt-sluice/sluice/bench"
	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/site"
	"github.com/virt-sluice/sluice/internal/stand"
)

type options struct {
	binary  string
	memory  int // MiB
	rounds  int
	small   bool
	results string
	busy    bool
	ways    []string
	guests  []string
}

func main() {
	var o options
	flag.StringVar(&o.binary, "sluice", "bin/sluice", "the sluice `PROGRAM` to measure")
	flag.IntVar(&o.memory, "memory", 2048, "the guest's memory in `MiB`")
	flag.IntVar(&o.rounds, "rounds", 5, "how `OFTEN` each way is measured")
	flag.BoolVar(&o.small, "small-pages", false, "leave the guest's memory in small pages")
	flag.StringVar(&o.results, "results", "", "`FOLDER` to write migration.json, migration.txt and migration.svg to")
	stand.ChoiceVar(&o.ways, "ways", ways, "which `WAYS` are measured")
	stand.ChoiceVar(&o.guests, "guests", guests, "which `GUESTS` are moved")
	flag.BoolVar(&o.busy, "busy", false, "measure on a busy machine, too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "migration:", err)
		os.Exit(1)
	}
}

var (
	ways   = []string{"tcp", "sluice", "tls", "tunnel"}
	guests = []string{"running", "paused"}
)

func run(ctx context.Context, o options) (err error) {
	if o.memory < 16 || o.rounds < 1 {
		return errors.New("a guest needs 16 MiB or more, and a figure one round or more")
	}
	if !o.busy {
		if err := bench.CheckQuiet(ctx); err != nil {
			return err
		}
	}
	if !o.small {
		restore, failed := lab.ReserveHugePages(o.memory)
		if failed != nil {
			return fmt.Errorf("%w, or measure with --small-pages", failed)
		}
		defer func() { err = errors.Join(err, restore()) }()
	}
	rep := &report{
		Date: time.Now().UTC().Format(time.DateOnly), Machine: bench.ThisMachine(), Congestion: lab.CongestionControl,
		Guests: o.guests, Ways: o.ways,
		MemoryMiB: o.memory, HugePages: !o.small, Rounds: o.rounds,
	}
	for _, state := range o.guests {
		if err := measure(ctx, o, state, rep); err != nil {
			return fmt.Errorf("%s guest: %w", state, err)
		}
	}
	err = rep.Write(os.Stdout)
	if o.results != "" {
		err = errors.Join(err, bench.Save(o.results, "migration", rep))
	}
	return err
}

// measure moves one guest to and fro, by every way.
func measure(ctx context.Context, o options, state string, rep *report) (err error) {
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
	g, err := l.A.StartGuest(ctx, lab.GuestSpec{Name: "bench", MemoryMiB: o.memory, Paused: state == "paused", HugePages: !o.small})
	if err != nil {
		return err
	}
	b := &moving{lab: l, site: s, guest: g, at: s.A}
	// One migration that is not counted: each host's first has caches to fill.
	for _, way := range []string{"tcp", "sluice"} {
		if _, err := b.migrate(ctx, way); err != nil {
			return err
		}
	}
	for round := range o.rounds {
		for i := range o.ways {
			// Another way begins each round.
			way := o.ways[(round+i)%len(o.ways)]
			fmt.Fprintf(os.Stderr, "%s guest, round %d of %d: %s\n", state, round+1, o.rounds, way)
			m, err := b.migrate(ctx, way)
			if err != nil {
				return err
			}
			m.Guest, m.Round = state, round+1
			rep.Measurements = append(rep.Measurements, *m)
		}
	}
	if state == "running" {
		return l.CheckOnlyOn(ctx, g, b.at.Host)
	}
	return nil
}
