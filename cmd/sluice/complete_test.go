package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/needs"
)

// Real shells complete what is typed by what the daemon says: guests, peers, and options' values.
func TestCompletion(t *testing.T) {
	t.Parallel()
	needs.Program(t, "bash", "zsh", "fish")
	needs.File(t, "/usr/share/bash-completion/bash_completion", "bash-completion")
	socket := startStandin(t)
	rc := t.TempDir()
	for name, text := range map[string]string{
		"bashrc": "PS1='ready>'\nsource /usr/share/bash-completion/bash_completion\nsource <(sluice completion bash)\n",
		".zshrc": "PROMPT='ready>'\nautoload -U compinit\ncompinit -D -u\nsource <(sluice completion zsh)\n",
		"fishrc": "function fish_prompt; echo 'ready>'; end\nfunction fish_greeting; end\nsluice completion fish | source\n",
	} {
		if err := os.WriteFile(filepath.Join(rc, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for shell, command := range map[string]string{
		"bash": fmt.Sprintf("exec bash --noprofile --rcfile %s/bashrc -i;", rc),
		"zsh":  fmt.Sprintf("ZDOTDIR=%s exec zsh -i;", rc),
		"fish": fmt.Sprintf("HOME=%[1]s XDG_CONFIG_HOME=%[1]s exec fish --no-config --private --init-command 'source %[1]s/fishrc' -i;", rc),
	} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			s := onScreen(t, 120, 24, command)
			s.await("ready>")
			for _, c := range []struct{ typed, becomes string }{
				{"sluice mig", "sluice migrate "},
				{"sluice migrate --socket " + socket + " d", socket + ` db\ 1 `},
				{"sluice migrate --socket " + socket + " web1 h", "web1 host-b "},
				{"sluice migrate --tls y", "--tls yes "},
				{"sluice cancel --socket " + socket + " we", socket + " web1 "},
				{"sluice check --socket " + socket + " --peer h", "--peer host-b "},
				{"sluice pki issue --layout q", "--layout qemu "},
				{"sluice report --socket " + socket + " 5d", socket + " 5d1f0c9e "},
			} {
				s.tmux("send-keys", "-l", c.typed)
				s.tmux("send-keys", "Tab")
				s.tmux("send-keys", "-l", "#") // behind what was completed
				if !comes(func() bool { return strings.Contains(s.visible(), c.becomes+"#") }) {
					t.Errorf("%q and Tab show\n%s\nwant %q", c.typed, s.visible(), c.becomes)
				}
				s.tmux("send-keys", "C-u", "C-l")
				if !comes(func() bool { return !strings.Contains(s.visible(), "#") }) {
					t.Fatalf("the line is not cleared:\n%s", s.visible())
				}
			}
		})
	}
}
