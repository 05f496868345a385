// Rpc measures what libvirt's protocol costs on its way through sluice: loops
// of virsh commands, each loop within one session of virsh, by
//
//	unix     libvirtd's own socket, on the host that it serves
//	tls      libvirtd's own TLS port, from the other host
//	port     sluice's port in its place, which a client without a sluice takes
//	tunnel   sluice tunnel to libvirtd's socket: the same TLS, and nothing read
//	read     peers/NAME/libvirt.sock, as migrations go
//
// What reading costs is read against tunnel, and port against tls. Ways take turns within a round,
// and ratios are taken within a round, because a shared machine's speed drifts.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/virt-sluice/sluice/bench"
	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/site"
	"github.com/virt-sluice/sluice/internal/stand"
)

type options struct {
	binary   string
	rounds   int
	commands int
	ways     []string
}

func main() {
	var o options
	flag.StringVar(&o.binary, "sluice", "bin/sluice", "the sluice `PROGRAM` to measure")
	flag.IntVar(&o.rounds, "rounds", 301, "how `OFTEN` each loop is measured")
	flag.IntVar(&o.commands, "commands", 20, "how many `COMMANDS` a loop has")
	stand.ChoiceVar(&o.ways, "ways", []string{"unix", "tls", "port", "tunnel", "read"}, "which `WAYS` are measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "rpc:", err)
		os.Exit(1)
	}
}

// full lets host-a, and clients with its certificate, call everything.
const full = "access = \"full\"\n[clients.a]\nnames = [\"host-a\"]\naccess = \"full\"\n"

func run(ctx context.Context, o options) (err error) {
	l, err := lab.Up(ctx, lab.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Down()) }()
	s, err := site.Start(ctx, l, site.Options{Binary: o.binary, Peer: full})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	if err := listenTLS(ctx, l.B); err != nil {
		return err
	}
	if _, err := l.B.StartGuest(ctx, lab.GuestSpec{Name: "bench", MemoryMiB: 16, Paused: true}); err != nil {
		return err
	}
	if err := tunnel(ctx, s); err != nil {
		return err
	}
	shells := make(map[string]*shell)
	for _, way := range o.ways {
		host, uri := l.A, map[string]string{
			"unix":   "qemu:///system",
			"tls":    "qemu+tls://host-b:" + ownPort + "/system",
			"port":   "qemu+tls://host-b/system",
			"tunnel": "qemu+unix:///system?socket=" + tunnelSocket,
			"read":   "qemu+unix:///system?socket=/run/sluice/peers/host-b/libvirt.sock",
		}[way]
		if way == "unix" {
			host = l.B
		}
		if shells[way], err = open(ctx, host, uri); err != nil {
			return fmt.Errorf("%s: %w", way, err)
		}
		defer shells[way].close()
	}
	for _, command := range []string{"list", "dumpxml bench"} {
		took := make(map[string][]float64)
		for round := -1; round < o.rounds; round++ { // the first is not counted
			for i := range o.ways {
				way := o.ways[(max(round, 0)+i)%len(o.ways)] // another begins each round
				t, err := shells[way].loop(command, o.commands)
				if err != nil {
					return fmt.Errorf("%s by %s: %w", command, way, err)
				}
				if round >= 0 {
					took[way] = append(took[way], t.Seconds()/float64(o.commands))
				}
			}
		}
		if err := table(o, command, took); err != nil {
			return err
		}
	}
	return nil
}

// ownPort is where libvirtd's own TLS listens beside sluice's.
const ownPort = "16515"

func listenTLS(ctx context.Context, h *lab.Host) error {
	file := h.Path("/etc/libvirt/libvirtd.conf")
	conf, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text := strings.Replace(string(conf), "listen_tls = 0\n", "listen_tls = 1\ntls_port = \""+ownPort+"\"\nauth_tls = \"none\"\n", 1)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	if err := h.KillLibvirtd(ctx, syscall.SIGTERM); err != nil {
		return err
	}
	return h.StartLibvirtd(ctx)
}

const tunnelSocket = "/run/tunnel.sock"

// tunnel leads from host-a to libvirtd's socket on host-b. Its two ends are killed with the lab.
func tunnel(ctx context.Context, s *site.Site) error {
	far := s.B.Command(ctx, "tunnel", "--listen", "tls::16516", "--allow", "host-a", "--to", "unix:/run/libvirt/libvirt-sock")
	near := s.A.Command(ctx, "tunnel", "--listen", "unix:"+tunnelSocket, "--to", "tls:host-b:16516")
	for _, c := range []*lab.Cmd{far, near} {
		said, err := c.StderrPipe()
		if err != nil {
			return err
		}
		if err := c.Start(); err != nil {
			return err
		}
		if err := until(bufio.NewReader(said), func(line string) bool { return strings.Contains(line, "listening") }); err != nil {
			return fmt.Errorf("sluice tunnel: %w", err)
		}
	}
	return nil
}

func table(o options, command string, took map[string][]float64) error {
	fmt.Printf("virsh %s: %d loops of %d within one session each, microseconds a command, medians (least to most)\n\n", command, o.rounds, o.commands)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	others := slices.DeleteFunc([]string{"unix", "tls", "tunnel"}, func(way string) bool { return !slices.Contains(o.ways, way) })
	fmt.Fprintln(w, "way\tmicroseconds\tagainst "+strings.Join(others, "\tagainst "))
	for _, way := range o.ways {
		t := took[way]
		fmt.Fprintf(w, "%s\t%.0f (%.0f to %.0f)", way, 1e6*bench.Median(t), 1e6*slices.Min(t), 1e6*slices.Max(t))
		for _, other := range others {
			fmt.Fprintf(w, "\t%.2f", bench.Median(bench.Ratios(t, took[other])))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
	return w.Flush()
}
