// Command roots builds the file systems of Debian releases that hosts of the lab need, with modular
// daemons or without, unless they are there, and prints where they are:
//
//	go run ./test/roots trixie modular-trixie
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/virt-sluice/sluice/internal/roots"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	var errs []error
	for _, suite := range os.Args[1:] {
		open := roots.Open
		if of, is := strings.CutPrefix(suite, "modular-"); is {
			open, suite = roots.OpenModular, of
		}
		root, err := open(ctx, suite)
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
