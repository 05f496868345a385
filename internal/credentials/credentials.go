// Package credentials opens what the configuration names this host's certificates by: files in the
// layout of one of the programs on the host, or a SPIFFE Workload API. The daemon, its tunnels,
// `sluice check` and `sluice tunnel` have theirs from here.
package credentials

import (
	"context"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/tlsconf"
)

// Source keeps credentials that follow where they come from.
type Source interface {
	// Current is the newest good set.
	Current() *tlsconf.Credentials
	// Run follows changes until ctx is done, and returns its error.
	Run(ctx context.Context) error
	// Reload takes over what is new at once.
	Reload() error
}

// Watch is told of what Run sees. Each may be nil.
type Watch struct {
	Changed func(*tlsconf.Credentials) // each new set, the first excepted
	Failed  func(error)                // each set that is bad, while the one before stays
	Mended  func()                     // nothing is new, and what was wrong is over
}

// Open loads the first set, and fails unless it is good.
func Open(ctx context.Context, conf config.Certificates, w Watch) (Source, error) {
	if conf.SPIFFE == "" {
		return tlsconf.NewStore(tlsconf.StoreConfig{
			Search: conf.Search(), Poll: conf.Reload, Changed: w.Changed, Failed: w.Failed, Mended: w.Mended,
		})
	}
	return openSPIFFE(ctx, conf.SPIFFE, w)
}
