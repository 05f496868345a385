//go:build !nogrpc

package credentials

import (
	"context"
	"fmt"
	"time"

	"github.com/virt-sluice/sluice/tlsconf/spiffe"
)

// spiffePatience is how long Open waits for a Workload API that is still coming up.
const spiffePatience = 30 * time.Second

func openSPIFFE(ctx context.Context, address string, w Watch) (Source, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, spiffePatience, fmt.Errorf("nothing came within %v", spiffePatience))
	defer cancel()
	source, err := spiffe.New(ctx, spiffe.Config{Addr: address, Changed: w.Changed, Failed: w.Failed, Mended: w.Mended})
	if err != nil {
		return nil, err
	}
	return pushed{source}, nil
}

// pushed is a Workload API: it pushes what is new, so that there is nothing to read again.
type pushed struct{ *spiffe.Source }

func (pushed) Reload() error { return nil }
