package main

import (
	"github.com/spf13/cobra"
)

// shells are those that completion can be made for.
var shells = []string{"bash", "zsh", "fish"}

const completionHelp = `Print what has SHELL (bash, zsh or fish) complete sluice's commands, options,
guests and peers. Packages install it. bash needs its package bash-completion.

For zsh, write it to a file _sluice in a folder of $fpath; for fish, to
~/.config/fish/completions/sluice.fish.`

const completionExamples = `  # for the bash that runs
  source <(sluice completion bash)

  # for every bash that begins
  sluice completion bash > /etc/bash_completion.d/sluice`

func newCompletion(io streams) *cobra.Command {
	return &cobra.Command{
		Use:       "completion SHELL",
		Short:     "Have a shell complete commands, guests and peers",
		Long:      completionHelp,
		Example:   completionExamples,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(io.out, true)
			case "zsh":
				return root.GenZshCompletion(io.out)
			}
			return root.GenFishCompletion(io.out, true)
		},
	}
}
