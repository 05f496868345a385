// Command lab brings up two libvirt hosts, host-a and host-b, on this machine, for trying things by
// hand:
//
//	go run ./test/lab up
//	go run ./test/lab guest host-a g
//	go run ./test/lab exec host-a virsh migrate --live --p2p g qemu+tcp://host-b/system
//	go run ./test/lab down
//
// The lab stands until down; nothing of it is written to the machine's disk. Package internal/lab
// says what a host is.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// exitStatus is a status to exit with, without a word: that of a command run in a host.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	err := command().ExecuteContext(ctx)
	if err == nil {
		return
	}
	if status, ok := errors.AsType[exitStatus](err); ok {
		os.Exit(int(status))
	}
	fmt.Fprintf(os.Stderr, "lab: %v\n", err)
	os.Exit(1)
}

func command() *cobra.Command {
	var name string
	root := &cobra.Command{
		Use:   "lab",
		Short: "Two libvirt hosts on this machine",
		Long: `lab brings up two libvirt hosts, host-a and host-b, on this machine, joined by a network of their own.

Each has its own libvirtd, /run, /etc/libvirt, /etc/pki, /etc/sluice and libvirt folders under /var; all else is the machine's, so that a
program built here runs there under the same path. Guests are small, check their own memory, and run in software emulation.
It needs root, QEMU, libvirt, nasm and iproute2; test/install installs them on Debian 12.`,
		Example: `  lab up
  lab guest host-a g
  lab exec host-a virsh migrate --live --p2p g qemu+tcp://host-b/system
  lab exec host-b bash
  lab down`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().StringVar(&name, "name", "lab", "which lab, where several stand side by side")
	root.AddCommand(upCommand(&name), downCommand(&name), listCommand(), execCommand(&name), guestCommand(&name))
	return root
}
