package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const rootHelp = `sluice moves running KVM guests between hosts over mutual TLS.

A daemon, sluice serve, runs beside libvirtd on every host. On the host that a
guest runs on, one command moves it:

  sluice migrate web1 host-b

libvirt clients reach the other host's libvirtd through sluice as well:

  virsh -c 'qemu+unix:///system?socket=/run/sluice/peers/host-b/libvirt.sock' \
    list

To begin, sluice init writes the configuration on both hosts, to add to
/etc/sluice/sluice.toml, and says what is missing. Start the daemons, and let
sluice check --all-peers say whether they reach each other. If you have no
certificates yet, see sluice pki --help.`

const rootExamples = `  sluice check --all-peers
  sluice migrate web1 host-b
  sluice status`

// everyDay are the commands that most people need most.
var everyDay = []string{"migrate", "evacuate", "status", "history", "report", "cancel", "resolve", "check", "explain", "plan", "init", "serve", "reload"}

func newRoot(io streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:           "sluice",
		Short:         "Move running KVM guests between hosts over mutual TLS",
		Long:          rootHelp,
		Example:       rootExamples,
		Version:       buildVersion(),
		Args:          noSuchCommand,
		RunE:          help,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.SetOut(io.out)
	cmd.SetErr(io.err)
	cmd.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	cmd.SetFlagErrorFunc(flagError)
	cmd.Flags().BoolP("version", "v", false, "print the version")
	cmd.SetHelpFunc(showHelp)
	cmd.SetHelpCommand(newHelp(io))
	cmd.AddCommand(newInit(io), newServe(io), newReload(io), newMigrate(io), newPlan(io), newEvacuate(io), newStatus(io), newHistory(io), newReport(io), newCancel(io), newResolve(io), newCheck(io), newTunnel(io), newIntercept(io), newBench(io), newPriority(io), newPKI(io), newVersion(io), newObserve())
	cmd.AddCommand(newExplain(io), newCompletion(io))
	for _, c := range cmd.Commands() {
		if slices.Contains(everyDay, c.Name()) {
			c.Annotations = map[string]string{usualKey: ""}
		}
	}
	cmd.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	completeFlags(cmd)
	return cmd
}

// noSuchCommand refuses arguments of a command that only has others.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2 // letters
	text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += fmt.Sprintf("; did you mean `%s %s`?", cmd.CommandPath(), near[0])
	}
	return errors.New(text)
}

// help is what a command that only has others does. A command that does nothing
// would take whatever it is given.
func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// flagError puts what pflag found wrong into words.
func flagError(cmd *cobra.Command, err error) error {
	var value *pflag.InvalidValueError
	if errors.As(err, &value) {
		f := value.GetFlag()
		return fmt.Errorf("--%s takes a %s, not %q", f.Name, kinds[f.Value.Type()], value.GetValue())
	}
	var missing *pflag.NotExistError
	if errors.As(err, &missing) && missing.GetSpecifiedShortnames() == "" {
		name, why := missing.GetSpecifiedName(), ""
		switch cmd.Name() {
		case "migrate":
			why = virshOnly(name)
		case "evacuate":
			why = cmp.Or(notForMany[name], virshOnly(name))
		}
		if why != "" {
			return fmt.Errorf("--%s: %s", name, why)
		}
	}
	return err
}

// kinds are the words for pflag's types of values.
var kinds = map[string]string{
	"int":    "whole number",
	"uint":   "whole number from 0 up",
	"uint64": "whole number from 0 up",
	"bool":   "true or false",
}
