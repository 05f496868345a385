package site

import (
	"context"
	"errors"

	"github.com/virt-sluice/sluice/internal/lab"
)

// Up brings up a lab whose link carries so many bytes per second each way, and starts a sluice on each
// host. The caller stops these, and then takes down the lab.
func Up(ctx context.Context, link int64, o Options) (*lab.Lab, *Site, error) {
	l, err := lab.Up(ctx, lab.Options{})
	if err != nil {
		return nil, nil, err
	}
	var s *Site
	if err = l.SlowLink(link); err == nil {
		s, err = Start(ctx, l, o)
	}
	if err != nil {
		return nil, nil, errors.Join(err, l.Down())
	}
	return l, s, nil
}
