// Converge moves guests, some of which never come to an end by themselves, each by every way there is
// to have it come to one:
//
//	default        virsh migrate, through sluice
//	suspend        the same with --timeout 10 --timeout-suspend
//	auto-converge  the same with --auto-converge
//	postcopy       the same with --postcopy --timeout 10 --timeout-postcopy
//	sluice         sluice migrate --auto --max-downtime 300ms --deadline 15s --allow none
//	sluice-…       the same with --allow slow, postcopy, pause, or all of them
//
// The guests are lab.Kinds. Each is started anew for each way. One that has not moved after 40 seconds
// is told to stay, and counts as not moved. Downtime is what libvirt says of the guest; silence is the
// longest time in which the guest itself printed nothing, at either host, which is what those who use
// it notice; and the work that it lost is what it did not do while it was moved, compared with what
// it had done in three seconds before.
//
// The link is of 1 Gbit/s by default. On a busy machine emulators and TLS get less than that through:
// --link lowers it, and the guests with it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/virt-sluice/sluice/bench"
	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/stand"
)

const leastLink, mostLink = 32, 300 // MiB per second

type options struct {
	binary  string
	link    int // MiB per second
	guests  []string
	ways    []string
	results string
	busy    bool
}

func main() {
	var o options
	flag.StringVar(&o.binary, "sluice", "bin/sluice", "the sluice `PROGRAM` to measure")
	flag.IntVar(&o.link, "link", lab.Gigabit>>20, "the link's rate in `MiB/s`")
	flag.StringVar(&o.results, "results", "", "`FOLDER` to write converge.json, converge.txt and converge.svg to")
	stand.ChoiceVar(&o.guests, "guests", names(lab.Kinds(1), func(g lab.GuestSpec) string { return g.Name }), "which `GUESTS` are moved")
	stand.ChoiceVar(&o.ways, "ways", names(ways, func(w way) string { return w.name }), "by which `WAYS`")
	flag.BoolVar(&o.busy, "busy", false, "measure on a busy machine, too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "converge:", err)
		os.Exit(1)
	}
}

func names[T any](all []T, name func(T) string) (names []string) {
	for _, one := range all {
		names = append(names, name(one))
	}
	return names
}

func run(ctx context.Context, o options) error {
	if o.link < leastLink || o.link > mostLink {
		return fmt.Errorf("--link is from %d to %d MiB/s: the guests' memory goes by it, and QEMU samples none of less than 128 MiB", leastLink, mostLink)
	}
	if !o.busy {
		if err := bench.CheckQuiet(ctx); err != nil {
			return err
		}
	}
	rep := &report{
		Date: time.Now().UTC().Format(time.DateOnly), Machine: bench.ThisMachine(), Congestion: lab.CongestionControl,
		Link: o.link, Guests: o.guests, Ways: o.ways,
	}
	err := measure(ctx, o, rep)
	if slices.Contains(o.ways, best) {
		rep.Musts = musts(rep.Measurements)
	}
	err = errors.Join(err, rep.Write(os.Stdout))
	if o.results != "" {
		err = errors.Join(err, bench.Save(o.results, "converge", rep))
	}
	return err
}
