package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/virt-sluice/sluice/proxy/control"
)

// showPeers has the daemon ask all its peers, and shows what they can do.
func showPeers(ctx context.Context, io streams, c *control.Client, asJSON bool) error {
	ctx, stop := context.WithTimeoutCause(ctx, checkTimeout, fmt.Errorf("no answer within %v", checkTimeout))
	defer stop()
	r, err := c.Check(ctx, &control.CheckRequest{All: true})
	if err != nil {
		var refused *control.Error
		if errors.As(err, &refused) && refused.Code == 403 {
			return wrongUse(err)
		}
		return failed(err)
	}
	var b bytes.Buffer
	if asJSON {
		peers := r.Peers
		if peers == nil {
			peers = []control.PeerView{}
		}
		if err := json.NewEncoder(&b).Encode(map[string]any{"host": r.Host, "time": r.Time, "peers": peers}); err != nil {
			return failed(fmt.Errorf("encode peers: %w", err))
		}
	} else {
		writeLines(&b, peersScreen(r, columns(io.out)))
	}
	if _, err := io.out.Write(b.Bytes()); err != nil {
		return failed(fmt.Errorf("write peers: %w", err))
	}
	return nil
}

// peersScreen is one row for each peer, and under it what is wrong.
func peersScreen(r *control.Report, width int) []string {
	lines := []string{fmt.Sprintf("Peers of %s: %d", oneLine(r.Host), len(r.Peers)) + ofPatterns(r.Patterns)}
	if len(r.Peers) == 0 {
		return lines
	}
	t := table{columns: []column{
		{"NAME", 0}, {"FOUND", 0}, {"GUESTS GO BY", 0}, {"SLUICE", 1}, {"LIBVIRT", 2}, {"QEMU", 3}, {"PATHS", 7}, {"TLS", 6},
		{"INTERCEPTION", 4}, {"QEMU'S OWN TLS", 5}, {"WITHOUT SLUICE", 8},
	}}
	for _, p := range r.Peers {
		o := p.Offers
		if o == nil {
			o = new(control.Offers)
		}
		native := ""
		switch {
		case p.Offers == nil:
		case o.NativeTLS.Ready:
			native = "ready"
		default:
			native = "no"
		}
		there := cmp.Or(o.WithoutSluice, "?")
		row := t.row(p.Name, p.Found, p.Way, o.Sluice, p.Libvirt, o.QEMU, strings.Join(o.Paths, " "), tlsAndPolicy(o),
			o.Interception, native, "here "+p.WithoutSluice+", there "+there)
		if p.Way != control.WaySluice {
			row.add(p.Text)
		}
	}
	return append(lines, t.lines(width)...)
}

// ofPatterns says which hosts are peers besides those that are known so far.
func ofPatterns(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return ", and any host of " + strings.Join(all, ", ")
}

// tlsAndPolicy is whether data has TLS by default, and by which priority string.
func tlsAndPolicy(o *control.Offers) string {
	if o.TLS == "" {
		return ""
	}
	return o.TLS + ", " + o.Priority
}
