// Command sluice carries live migrations of KVM guests between hosts over
// mutual TLS: the daemon (sluice serve) and what talks to it.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/virt-sluice/sluice/internal/confine"
)

func main() {
	// Keys may come into any command's memory. `sluice status` says of the daemon if it failed.
	confine.NoDumps()
	os.Exit(run(os.Args[1:], streams{out: os.Stdout, err: os.Stderr}))
}

// streams are where a command writes: what was asked for to out, how it goes
// and what went wrong to err.
type streams struct {
	out, err io.Writer
}

// run runs one command line and returns its exit status.
func run(args []string, io streams) int {
	root := newRoot(io)
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	if err == nil {
		return exitMoved
	}
	var exit *exitError
	if errors.As(err, &exit) {
		if exit.err != nil {
			say(io.err, exit.err.Error())
		}
		return exit.code
	}
	// What is left is cobra's own: a command line that it could not parse.
	say(io.err, err.Error())
	fmt.Fprintf(io.err, "Try `%s --help`.\n", cmd.CommandPath())
	return exitUsage
}
