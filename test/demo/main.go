// Demo shows a live migration through sluice: it brings up two hosts on this machine, starts sluice
// and a guest, moves the guest, and checks its memory. Nothing is left behind, however it ends: the
// hosts are processes of its own, and all they hold ends with them.
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

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/site"
)

func main() {
	binary := flag.String("sluice", "bin/sluice", "the sluice `PROGRAM` to show")
	memory := flag.Int("memory", 512, "the guest's memory in `MiB`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := demo(ctx, *binary, *memory)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case interrupted:
		fmt.Fprintln(os.Stderr, "demo: interrupted; both hosts and the guest are gone")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

const guestName = "demo"

func demo(ctx context.Context, binary string, memory int) (err error) {
	say("bring up two hosts, each with its own libvirtd, joined by a network of their own")
	l, err := lab.Up(ctx, lab.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Down()) }()

	say("start sluice on both, with certificates of a CA made for the occasion")
	s, err := site.Start(ctx, l, site.Options{Binary: binary})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()

	say(fmt.Sprintf("start a guest with %d MiB on %s: it fills them, then changes and checks them for ever", memory, l.A.Name))
	g, err := l.A.StartGuest(ctx, lab.GuestSpec{Name: guestName, MemoryMiB: memory})
	if err != nil {
		return err
	}
	if err := where(ctx, l); err != nil {
		return err
	}

	fmt.Printf("\n%s# sluice migrate %s %s\n", l.A.Name, guestName, l.B.Name)
	cmd := s.A.Command(ctx, "migrate", guestName, l.B.Name)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("sluice migrate: %w\n%s's log:\n%s\n%s's log:\n%s", err, l.A.Name, s.A.Log(), l.B.Name, s.B.Log())
	}

	fmt.Println()
	if err := where(ctx, l); err != nil {
		return err
	}
	before, err := g.Passes(l.B)
	if err != nil {
		return err
	}
	// Guest and migration shared two cores; ten passes are half a second.
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := g.WaitPasses(limited, l.B, 10); err != nil {
		return err
	}
	if err := l.CheckOnlyOn(ctx, g, l.B); err != nil {
		return err
	}
	after, err := g.Passes(l.B)
	if err != nil {
		return err
	}
	say(fmt.Sprintf("its memory is intact: it has checked all of it %d times more on %s, and found no error", after-before, l.B.Name))
	return nil
}

func say(what string) { fmt.Println("==>", what) }

// where prints where the guest is, as the hosts' libvirts tell it.
func where(ctx context.Context, l *lab.Lab) error {
	places, err := l.WhereRuns(ctx, guestName)
	if err != nil {
		return err
	}
	for _, p := range places {
		fmt.Println("   ", p)
	}
	return nil
}
