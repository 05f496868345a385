package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/virt-sluice/sluice/internal/control"
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
		writePeers(&b, r)
	}
	if _, err := io.out.Write(b.Bytes()); err != nil {
		return failed(fmt.Errorf("write peers: %w", err))
	}
	return nil
}

// writePeers is one row for each peer, and below them what is wrong.
func writePeers(b *bytes.Buffer, r *control.Report) {
	fmt.Fprintf(b, "Peers of %s: %d\n", oneLine(r.Host), len(r.Peers))
	if len(r.Peers) == 0 {
		return
	}
	table(b, "NAME\tFOUND\tGUESTS GO BY\tSLUICE\tLIBVIRT\tQEMU\tPATHS\tTLS\tINTERCEPTION\tQEMU'S OWN TLS\tWITHOUT SLUICE", func(row rowFunc) {
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
			there := "there " + o.WithoutSluice
			if o.WithoutSluice == "" {
				there = "there ?"
			}
			row(p.Name, p.Found, p.Way, o.Sluice, p.Libvirt, o.QEMU, strings.Join(o.Paths, " "), tlsAndPolicy(o), o.Interception, native, "here "+p.WithoutSluice+", "+there)
		}
	})
	for _, p := range r.Peers {
		if p.Way != control.WaySluice {
			fmt.Fprintf(b, "  %s: %s\n", oneLine(p.Name), oneLine(p.Text))
		}
	}
}

// tlsAndPolicy is whether data has TLS by default, and by which priority string.
func tlsAndPolicy(o *control.Offers) string {
	if o.TLS == "" {
		return ""
	}
	return o.TLS + ", " + o.Priority
}
