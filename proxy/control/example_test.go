package control_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os/signal"
	"syscall"

	"github.com/virt-sluice/sluice/proxy/control"
)

// One call lasts as long as the migration. The first SIGINT or SIGTERM cancels it, and the call then
// returns when the guest is safe.
func ExampleClient_Migrate() {
	stopped, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	daemon := control.New(control.DefaultSocket)
	request := &control.MigrateRequest{Guest: "web1", Peer: "host-b", AutoConverge: true}
	result, err := daemon.Migrate(context.Background(), stopped.Done(), request, func(p control.Progress) {
		fmt.Printf("%s %.0f %%, %d MiB/s\n", p.Phase, p.Percent, p.Rate>>20)
	})
	switch {
	case errors.Is(err, control.ErrNoResult):
		log.Fatalf("look at both hosts before you do anything: %v", err)
	case err != nil:
		log.Fatalf("nothing was started: %v", err)
	case result.Outcome != control.Moved:
		log.Fatal(result.Message)
	}
	fmt.Printf("%s runs on %s; it was paused for %v\n", result.Guest, result.Destination, result.Downtime)
}

// A migration that virsh or another user has asked for is followed to its end.
func ExampleClient_Follow() {
	daemon := control.New(control.DefaultSocket)
	session, err := daemon.Follow(context.Background(), "web1", func(p control.Progress) {
		fmt.Printf("%s %.0f %%\n", p.Phase, p.Percent)
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(session.Outcome, session.Cause)
}

func ExampleClient_Status() {
	daemon := control.New(control.DefaultSocket)
	status, err := daemon.Status(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range status.Sessions {
		fmt.Println(s.ID, s.Guest, s.Direction, s.Peer, s.Phase)
	}
}
