package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/roots"
)

func upCommand(name *string) *cobra.Command {
	var suites [2]string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring up a lab, which stands until down",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var dirs [2]string
			for i, suite := range suites {
				if suite == "" {
					continue
				}
				root, err := roots.Open(cmd.Context(), suite)
				if err != nil {
					return err
				}
				defer root.Close()
				dirs[i] = root.Dir
			}
			l, err := lab.Up(cmd.Context(), lab.Options{Name: *name, Persist: true, RootA: dirs[0], RootB: dirs[1]})
			if err != nil {
				return err
			}
			defer l.Close()
			for _, h := range l.Hosts() {
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %s  %s  files: %s\n", h.Name, h.Addr, h.Addr6, h.Path("/"))
			}
			return nil
		},
	}
	for i, host := range []string{lab.HostA, lab.HostB} {
		cmd.Flags().StringVar(&suites[i], host, "", "Debian `RELEASE` of that host, such as trixie (built if it is not there; default: this machine's)")
	}
	return cmd
}

func downCommand(name *string) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "End a lab and all that runs in it",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			l, err := lab.Attach(*name)
			if l == nil {
				return err
			}
			// Half a lab is an error to attach to, but not to take down.
			return l.Down()
		},
	}
}

func listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the labs that stand on this machine, those of running tests too",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			labs, err := lab.List()
			if err != nil {
				return err
			}
			for _, name := range slices.Sorted(maps.Keys(labs)) {
				var hosts []string
				for _, host := range slices.Sorted(maps.Keys(labs[name])) {
					hosts = append(hosts, fmt.Sprintf("%s (pid %d)", host, labs[name][host]))
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", name, strings.Join(hosts, ", "))
			}
			return nil
		},
	}
}
