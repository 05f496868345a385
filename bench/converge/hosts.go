package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/site"
)

// hosts are two, with a sluice each, and a link.
type hosts struct {
	*site.Site
	lab *lab.Lab
}

func bringUp(ctx context.Context, o options) (*hosts, error) {
	l, s, err := site.Up(ctx, int64(o.link)<<20, site.Options{Binary: o.binary})
	return &hosts{s, l}, err
}

func (h *hosts) down() error { return errors.Join(h.Stop(), h.lab.Down()) }

// measure fills in the report. One cell that fails does not spoil the next: that gets new hosts.
func measure(ctx context.Context, o options, rep *report) (err error) {
	var h *hosts
	defer func() {
		if h != nil {
			err = errors.Join(err, h.down())
		}
	}()
	for _, spec := range lab.Kinds(o.link) {
		for _, w := range ways {
			if !slices.Contains(o.guests, spec.Name) || !slices.Contains(o.ways, w.name) {
				continue
			}
			if h == nil {
				up, err := bringUp(ctx, o)
				if err != nil {
					return err
				}
				h = up
			}
			m := measurement{Guest: spec.Name, Way: w.name}
			failed := h.cell(ctx, spec, w, &m)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if failed != nil {
				m = measurement{Guest: spec.Name, Way: w.name, Error: failed.Error()}
				if failed = h.down(); failed != nil {
					m.Error += "; " + failed.Error()
				}
				h = nil
			}
			fmt.Fprintln(os.Stderr, m.line())
			for _, d := range m.Decisions {
				fmt.Fprintln(os.Stderr, "  "+d)
			}
			rep.Measurements = append(rep.Measurements, m)
		}
	}
	return rep.unmeasured()
}
