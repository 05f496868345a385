package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/virt-sluice/sluice/internal/lab"
)

func execCommand(name *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exec HOST COMMAND [ARGUMENT...]",
		Short: "Run a command in a host",
		Long: `exec runs a command in a host, in the same folder, with this terminal, and exits with its status (128 + N when signal N ended it).
The command dies with exec; a daemon that puts itself into the background stays until the lab goes down.`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withHost(*name, args[0], func(h *lab.Host) error {
				// Signals, which end the context, are passed on, and the end is the inner command's
				// to choose.
				return run(h.Command(context.WithoutCancel(cmd.Context()), args[1], args[2:]...))
			})
		},
	}
	cmd.Flags().SetInterspersed(false) // what follows HOST is the inner command's
	return cmd
}

// run runs a command with this process's standard files, and passes signals on to it.
func run(c *lab.Cmd) error {
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2)
	defer signal.Stop(signals)
	if err := c.Start(); err != nil {
		return err
	}
	terminal := term.IsTerminal(int(os.Stdin.Fd()))
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	for {
		select {
		case sig := <-signals:
			// The terminal gives these to the whole foreground group, of which the command is one.
			if terminal && (sig == unix.SIGINT || sig == unix.SIGQUIT) {
				continue
			}
			c.Process.Signal(sig)
		case err := <-ended:
			return status(err)
		}
	}
}

func status(err error) error {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return err
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return exitStatus(128 + int(ws.Signal()))
	}
	return exitStatus(exit.ExitCode())
}

func guestCommand(name *string) *cobra.Command {
	var spec lab.GuestSpec
	cmd := &cobra.Command{
		Use:   "guest HOST NAME",
		Short: "Start a guest that checks its own memory",
		Long: `guest starts a guest in a host and returns once its memory is filled with data that does not compress. From then on the guest dirties
a part of it, checks all of it, and prints one character on its serial port, pass after pass: '.' when all was right, 'X' when not.
See /var/log/libvirt/qemu/NAME.serial in the host.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withHost(*name, args[0], func(h *lab.Host) error {
				spec.Name = args[1]
				g, err := h.StartGuest(cmd.Context(), spec)
				if err != nil {
					return err
				}
				return g.CreateDisks(h.Peer())
			})
		},
	}
	f := cmd.Flags()
	f.IntVar(&spec.MemoryMiB, "memory", 256, "memory in `MiB`")
	f.IntVar(&spec.DirtyMiB, "dirty", 4, "`MiB` dirtied each pass; -1 for none")
	f.IntVar(&spec.PassesPerSecond, "rate", 20, "passes per second at most")
	f.IntSliceVar(&spec.DisksMiB, "disk", nil, "a disk of so many `MiB`, also made, empty, on the other host; may be given more than once")
	f.BoolVar(&spec.Paused, "paused", false, "leave it paused")
	f.BoolVar(&spec.Persistent, "persistent", false, "define it, so that it is still known after it has ended")
	return cmd
}

func withHost(name, host string, f func(*lab.Host) error) error {
	l, err := lab.Attach(name)
	if err != nil {
		return err
	}
	defer l.Close()
	h := l.Host(host)
	if h == nil {
		return fmt.Errorf("no host %q: want %s or %s", host, lab.HostA, lab.HostB)
	}
	return f(h)
}
