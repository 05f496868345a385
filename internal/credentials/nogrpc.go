//go:build nogrpc

package credentials

import (
	"context"
	"fmt"
)

// openSPIFFE refuses: a site that has no use for it leaves out gRPC by this tag.
func openSPIFFE(_ context.Context, address string, _ Watch) (Source, error) {
	return nil, fmt.Errorf("certificates from the Workload API at %s: this sluice was built without SPIFFE (tag nogrpc): use another build, or certificates in files", address)
}
