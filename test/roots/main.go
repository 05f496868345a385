// Command roots builds the file systems of Debian releases that hosts of the lab need, unless they
// are there, and prints where they are:
//
//	go run ./test/roots trixie testing
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/roots"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	var errs []error
	for _, suite := range os.Args[1:] {
		root, err := roots.Open(ctx, suite)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Println(root.Dir)
		errs = append(errs, root.Close())
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintf(os.Stderr, "roots: %v\n", err)
		os.Exit(1)
	}
}
