package main

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/virt-sluice/sluice/internal/check"
	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/sockets"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/intercept/rules"
)

const interceptHelp = `Redirect the connections that QEMU makes by itself to sluice, for programs that
always say tcp:HOST and cannot be configured otherwise.

"up" adds a table of sluice's own to nftables on this host. What goes from here
to a peer's migration ports (49152-49215 by default) is redirected to the sluice
that runs here, which carries it over mutual TLS to the peer's sluice and there
to the QEMU that waits. What comes from other hosts to those ports is refused.
Both hosts need it, and [intercept] in their configurations.

While the table is there, nothing goes to those ports in clear: if no sluice
runs, connections are refused.`

const interceptUpHelp = `Put the table into the kernel, whole or not at all. Peers' names are resolved
now. If the table exists already, it is left alone if it is the same, and
replaced in one step if not. Open connections are not affected.

The table is gone after a restart of the host: sluice-intercept.service puts it
back.

Exit status: 0 it is in the kernel, 1 failed, 2 wrong use or configuration; then
nothing was changed.`

const interceptShowHelp = `Show what is in the kernel, what it has counted, and whether it matches the
configuration.

Exit status: 0 it matches, 1 it does not, or could not be read, 2 wrong use or
configuration.`

func newIntercept(io streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "intercept",
		Short: "Redirect QEMU's own connections to sluice",
		Long:  interceptHelp,
		Example: `  sluice intercept up --print
  sluice intercept up
  sluice intercept show`,
		Args: noSuchCommand,
		RunE: help,
	}
	cmd.AddCommand(newInterceptUp(io), newInterceptDown(io), newInterceptShow(io))
	return cmd
}

func newInterceptUp(io streams) *cobra.Command {
	var file string
	var print bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Turn interception on",
		Long:  interceptUpHelp,
		Example: `  sluice intercept up --print
  sluice intercept up`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := wantedTable(cmd, file)
			if err != nil {
				return err
			}
			if print {
				fmt.Fprint(io.out, t)
				return nil
			}
			changed, err := rules.Up(t)
			if err != nil {
				return failed(err)
			}
			on := "interception was on already"
			if changed {
				on = "interception is on"
			}
			fmt.Fprintf(io.out, "%s: TCP ports %d-%d here are closed to other hosts, and connections from here to those ports of %s are redirected to port %d\n",
				on, t.First, t.Last, addresses(t), t.Port)
			if !listens(t.Port) {
				say(io.err, fmt.Sprintf("nothing listens at port %d yet: until the daemon runs with this configuration, they are refused", t.Port))
			}
			return nil
		},
	}
	addInterceptConfig(cmd, &file)
	cmd.Flags().BoolVar(&print, "print", false, "print the table as nft would, and change nothing")
	return cmd
}

func newInterceptDown(io streams) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Turn interception off",
		Long: `Remove sluice's table from the kernel, and nothing else. From then on QEMU's own
connections go out as QEMU makes them, and the migration ports are open again.
Connections that there are go on as they are.

Exit status: 0 it is not in the kernel, 1 failed, 2 wrong use.`,
		Example: "  sluice intercept down",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			changed, err := rules.Down()
			if err != nil {
				return failed(err)
			}
			if changed {
				fmt.Fprintln(io.out, "interception is off: QEMU's own connections go out unchanged")
			} else {
				fmt.Fprintln(io.out, "interception was off already")
			}
			return nil
		},
	}
}

func newInterceptShow(io streams) *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show whether interception is on, and as configured",
		Long:  interceptShowHelp,
		Example: `  sluice intercept show
  sluice intercept show --json | jq .problem`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := wantedTable(cmd, file)
			if err != nil {
				return err
			}
			st := rules.Status(t)
			if asJSON {
				err = json.NewEncoder(io.out).Encode(st)
			} else {
				s := interceptSection(st, columns(io.out))
				writeLines(io.out, append([]string{s.title}, s.lines...))
			}
			switch {
			case err != nil:
				return failed(err)
			case st.Problem != "":
				return failed(nil)
			}
			return nil
		},
	}
	addInterceptConfig(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func addInterceptConfig(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "config", defaultConfig, "the daemon's configuration `FILE`")
}

// wantedTable is what the configuration says.
func wantedTable(cmd *cobra.Command, file string) (*rules.Table, error) {
	cfg, err := config.Load(file)
	if err != nil {
		return nil, wrongUse(err)
	}
	if cfg.Intercept == nil {
		return nil, wrongUse(fmt.Errorf("%s: no [intercept] is configured: write at least that line, on every host (docs/config.md)", file))
	}
	t, err := check.InterceptTable(cmd.Context(), cfg)
	if err != nil {
		return nil, failed(err)
	}
	return t, nil
}

// addresses are those that connections are led away from, in words.
func addresses(t *rules.Table) string {
	var text string
	for i, r := range t.Routes {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s (%v)", r.Peer, r.Addr)
	}
	return cmp.Or(text, "no peer")
}

func listens(port uint16) bool {
	all, err := sockets.Listeners(port)
	return err == nil && len(all) > 0
}

func interceptLines(st *control.InterceptStatus, width int) []string {
	if !st.On {
		return indented(margin, st.Problem, width)
	}
	lines := indented(margin, fmt.Sprintf("TCP ports %s here are closed to other hosts (%d attempts refused)", st.Ports, st.Refused), width)
	if st.PeersAlone {
		lines = append(lines, indented(margin, fmt.Sprintf("those of hosts that are no peers cannot be reached from here (%d attempts refused)", st.Elsewhere), width)...)
	}
	if st.Problem != "" {
		lines = append(lines, indented(margin, st.Problem, width)...)
	}
	if len(st.Routes) == 0 {
		return append(lines, indented(margin, "no connection is redirected to sluice: there are no peers", width)...)
	}
	text := fmt.Sprintf("connections to these are redirected to port %d here", st.Port)
	if !listens(uint16(st.Port)) {
		text += ", where nothing listens: they are refused until the daemon runs"
	}
	lines = append(lines, indented(margin, text+":", width)...)
	t := table{columns: []column{{"PEER", 0}, {"ADDRESS", 0}, {"REDIRECTED", 0}, {"REFUSED", 0}}}
	for _, r := range st.Routes {
		t.row(r.Peer, r.Address, fmt.Sprint(r.Led), fmt.Sprint(r.Refused))
	}
	return append(lines, t.lines(width)...)
}
