package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/virt-sluice/sluice/internal/check"
	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy"
	"github.com/virt-sluice/sluice/proxy/control"
)

const initHelp = `Write this host's configuration, and check it.

It looks for certificates (where libvirt, QEMU, CloudStack, oVirt and kolla keep
them, where libvirtd.conf and qemu.conf say, and /etc/sluice/{ca,cert,key}.pem),
for libvirt, for other hosts' addresses, and for rules of nftables, iptables,
firewalld or ufw that would keep connections out. What differs from the defaults
goes into the file that --to names. By default that is
/etc/sluice/conf.d/init.toml, or /etc/sluice/sluice.toml if there is none yet.
No file that is there is changed, but by --force. Then it does as sluice check,
and prints what comes next.

HOST is another host, by the name in its certificate; HOST=ADDRESS where that
name does not resolve, or *.DOMAIN for all hosts of a domain. A list may be the
same on all hosts: this host is left out.

Exit status: 0 written, and no errors (there may be warnings), 1 errors were
found, of which each says what to do; 2 wrong use, and nothing was written.`

const initExamples = `  sudo sluice init --peer host-b
  sudo sluice init --peer host-b=192.0.2.12 --peer host-c=192.0.2.13:16600
  sluice init --peers hosts.txt --dry-run`

type initOptions struct {
	peers []string
	list  string
	to    string
	force bool
	dry   bool
}

func newInit(io streams) *cobra.Command {
	o := new(initOptions)
	cmd := &cobra.Command{
		Use:     "init",
		Short:   "Write this host's configuration, and check it",
		Long:    initHelp,
		Example: initExamples,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return o.run(ctx, io)
		},
	}
	cmd.Flags().StringArrayVar(&o.peers, "peer", nil, "another `HOST[=ADDRESS]`; may be repeated")
	cmd.Flags().StringVar(&o.list, "peers", "", "a `FILE` with such hosts, one a line; # begins a comment")
	cmd.Flags().StringVar(&o.to, "to", "", "the `FILE` to write")
	cmd.Flags().BoolVar(&o.force, "force", false, "replace that file if it is there")
	cmd.Flags().BoolVar(&o.dry, "dry-run", false, "print the file, and what is found to standard error; write nothing")
	return cmd
}

// configDir is where files add to a configuration, beside its main one.
const configDir = "conf.d"

// target is the file to write, and the main file of the configuration that it belongs to.
func (o *initOptions) target() (file, main string, err error) {
	if o.to == "" {
		dir := filepath.Dir(defaultConfig)
		if _, err := os.Stat(defaultConfig); errors.Is(err, fs.ErrNotExist) {
			return defaultConfig, defaultConfig, nil
		}
		return filepath.Join(dir, configDir, "init.toml"), defaultConfig, nil
	}
	if file, err = filepath.Abs(o.to); err != nil {
		return "", "", err
	}
	if !strings.HasSuffix(file, ".toml") || filepath.Base(file)[0] == '.' {
		return "", "", fmt.Errorf("--to %s: a configuration's name ends with .toml and begins with no dot", o.to)
	}
	if dir := filepath.Dir(file); filepath.Base(dir) == configDir {
		return file, filepath.Join(filepath.Dir(dir), filepath.Base(defaultConfig)), nil
	}
	return file, file, nil
}

func (o *initOptions) run(ctx context.Context, io streams) error {
	hosts, err := o.hosts()
	if err != nil {
		return err
	}
	file, main, err := o.target()
	if err != nil {
		return err
	}
	_, err = os.Lstat(file)
	there := err == nil
	if there && !o.force && !o.dry {
		return wrongUse(fmt.Errorf("%s is there already, and nothing was changed: add hosts by hand, name another file (--to), or have it replaced (--force)", file))
	}
	before := new(config.Config)
	if file != main {
		if _, err := os.Stat(main); errors.Is(err, fs.ErrNotExist) {
			return wrongUse(fmt.Errorf("%s does not exist, and a file of %s only adds to it: write that one (--to %s)", main, configDir, main))
		}
		if before, err = config.LoadWith(main, file, nil); err != nil {
			return wrongUse(err)
		}
	}
	s, err := newSetup(hosts, before)
	if err != nil {
		return wrongUse(err)
	}
	text := s.text()
	cfg, err := config.LoadWith(main, file, text)
	if err != nil {
		return wrongUse(err)
	}
	if len(cfg.PeerNames()) == 0 {
		return wrongUse(errors.New("name the other hosts: --peer HOST, or --peers FILE"))
	}
	if !o.dry {
		if err := write(file, text, there); err != nil {
			return failed(err)
		}
	}
	report, err := proxy.Check(ctx, cfg, buildVersion(), new(control.CheckRequest))
	if err != nil {
		return failed(err)
	}
	report.Findings = append(report.Findings, reach(ctx, cfg)...)
	check.Count(report)
	out := io.out
	if o.dry {
		out = io.err
		if _, err := io.out.Write(text); err != nil {
			return failed(err)
		}
	} else {
		fmt.Fprintf(out, "%s is written: %s\n\n", file, s.says())
	}
	if err := writeReport(out, report, columns(out)); err != nil {
		return failed(err)
	}
	writeLines(out, s.after(ctx, cfg, main, report.Errors > 0))
	if report.Errors > 0 {
		return failed(nil)
	}
	return nil
}

// write writes a file of which nobody sees a part. One that is there stays, unless it is to be
// replaced.
func write(file string, text []byte, replace bool) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".init-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if replace {
		return os.Rename(f.Name(), file)
	}
	return os.Link(f.Name(), file)
}

// A host is another one, as the command line or a list names it.
type host struct{ name, address string }

// hosts are those that were named, each once.
func (o *initOptions) hosts() (all []host, err error) {
	words := slices.Clone(o.peers)
	if o.list != "" {
		text, err := os.ReadFile(o.list)
		if err != nil {
			return nil, wrongUse(fmt.Errorf("--peers: %w", err))
		}
		for line := range bytes.Lines(text) {
			line, _, _ = bytes.Cut(line, []byte("#"))
			words = append(words, strings.Fields(string(line))...)
		}
	}
	for _, word := range words {
		var h host
		h.name, h.address, _ = strings.Cut(word, "=")
		if h.address == "" && strings.HasSuffix(word, "=") {
			return nil, fmt.Errorf("%q has no address behind its =", word)
		}
		if !strings.HasPrefix(h.name, "*.") {
			if err := config.ValidPeerName(h.name); err != nil {
				return nil, err
			}
		}
		switch i := slices.IndexFunc(all, func(o host) bool { return strings.EqualFold(o.name, h.name) }); {
		case i < 0:
			all = append(all, h)
		case all[i] != h:
			return nil, fmt.Errorf("host %s is named twice, with different addresses", h.name)
		}
	}
	return all, nil
}
