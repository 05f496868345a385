package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/virt-sluice/sluice/bench"
)

const benchHelp = `Measure the relay on this machine beside other programs that do the same work.

That is a stream from one unix socket to another, over mutual TLS 1.3 with
AES-128-GCM, through two relays.

The others are ghostunnel, stunnel, HAProxy, nginx and socat, those of them that
are installed; the rest are listed as missing. Three are built in: io.Copy over
Go's crypto/tls; splice, which does no TLS and is the floor; and loop, which
only reads, encrypts and writes, with no TLS connection. As root it runs in a
network namespace of its own, with TCP's congestion control set to reno.

With COMMAND the sink and the receiving relays are on another host: the command
must run sluice bench far there, most often over ssh, and --at is an address at
which this host reaches that one. The relays get certificates made for this run.
Both hosts' networks are used as they are.

Nothing else should run meanwhile: a machine that is busy is refused, with what
it does. With everything installed and the default size it takes about two hours
on a small machine.

Exit status: 0 measured, 1 failed, 2 wrong use.`

const benchExamples = `  sluice bench --busy --size 256 --rounds 2 --work 1,ping-1
  sluice bench --results results --only sluice,haproxy,splice
  sluice bench --at 192.0.2.2 --only sluice,splice -- \
    ssh root@host-b sluice bench far`

func newBench(io streams) *cobra.Command {
	o := bench.Options{}
	var mib int64
	var results string
	cmd := &cobra.Command{
		Use:     "bench [flags] [-- COMMAND...]",
		Short:   "Measure the relay beside other programs",
		Long:    benchHelp,
		Example: benchExamples,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Size = mib << 20
			o.FarCommand = args
			if err := o.Check(); err != nil {
				return err
			}
			return runBench(cmd.Context(), io, o, results)
		},
	}
	f := cmd.Flags()
	f.Int64Var(&mib, "size", 4096, "`MiB` that one piece of bulk work carries, over all its streams")
	f.IntVar(&o.Rounds, "rounds", 7, "how many `TIMES` each program does each work")
	f.IntVar(&o.Pings, "pings", 20000, "`ROUNDTRIPS` of a ping-pong")
	f.StringSliceVar(&o.Only, "only", nil, "`PROGRAMS` to measure: "+strings.Join(bench.Contenders(), ", ")+" (default: all that are installed)")
	f.StringSliceVar(&o.Works, "work", nil, "`WORKS` to do: "+strings.Join(bench.Works(), ", ")+" (default: all)")
	f.StringVar(&results, "results", "", "`FOLDER` to write relay.json, relay.txt and relay.svg to")
	f.StringVar(&o.FarHost, "at", "", "`ADDRESS` of the other host to listen at there")
	f.BoolVar(&o.Busy, "busy", false, "measure on a busy machine, too")
	markUsual(f, "busy", "only", "work", "size", "rounds", "results", "at")
	cmd.AddCommand(newBenchRelay(), newBenchFar())
	return cmd
}

func runBench(ctx context.Context, io streams, o bench.Options, results string) error {
	if err := findPrograms(&o); err != nil {
		return failed(err)
	}
	o.Progress = func(text string) { fmt.Fprintln(io.err, text) }
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	rep, err := bench.Run(ctx, o)
	if rep != nil && len(rep.Samples) > 0 {
		err = errors.Join(err, rep.Write(io.out))
		if results != "" && ctx.Err() == nil { // half a run does not replace a whole one
			err = errors.Join(err, rep.Save(results))
		}
	}
	if err != nil {
		return failed(err)
	}
	return nil
}

// newBenchRelay is what the benchmark starts for its own contenders.
func newBenchRelay() *cobra.Command {
	return &cobra.Command{
		Use:   "relay KIND ROLE PATH HOST:PORT CERTIFICATES",
		Short: "One of the benchmark's own relays",
		Long: `Run one of the relays that bench compares with, until it is killed. bench starts
them itself. KIND is splice, loop or io.Copy, ROLE is send or receive.`,
		Example: "  sluice bench relay splice send /run/in.sock 127.0.0.1:7000 certs",
		Args:    cobra.ExactArgs(5),
		RunE: func(_ *cobra.Command, args []string) error {
			return failed(bench.Builtin(args[0], args[1], args[2], args[3], args[4]))
		},
	}
}

// newBenchFar is the other host's side.
func newBenchFar() *cobra.Command {
	return &cobra.Command{
		Use:   "far",
		Short: "The other host's side of a benchmark",
		Long: `Be the sink's side of a benchmark: the command that sluice bench is given, to be
run there, for instance over ssh. It takes its orders on standard input, answers
on standard output, and ends with them.`,
		Example: "  sluice bench --at 192.0.2.2 -- ssh root@host-b sluice bench far",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var o bench.Options
			if err := findPrograms(&o); err != nil {
				return failed(err)
			}
			if err := bench.ServeFar(stdio{os.Stdin, os.Stdout}, o); err != nil {
				return failed(err)
			}
			return nil
		},
	}
}

// stdio is standard input and output as one connection.
type stdio struct {
	io.ReadCloser
	io.Writer
}

// findPrograms says where sluice is, and what bench/install has built.
func findPrograms(o *bench.Options) (err error) {
	if o.Sluice, err = os.Executable(); err != nil {
		return err
	}
	if cache, err := os.UserCacheDir(); err == nil {
		o.Tools = filepath.Join(cache, "sluice-bench")
	}
	return nil
}
