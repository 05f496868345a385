package lab

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"
)

// virshTimeout bounds a virsh whose caller has set no deadline: a migration that goes wrong can
// wait for ever.
const virshTimeout = 2 * time.Minute

// Virsh runs virsh on the host against its own libvirtd, and returns what it printed on its
// standard output, without the space around it. The error holds what it printed on standard error.
// It runs for two minutes at most, unless ctx has a deadline.
func (h *Host) Virsh(ctx context.Context, args ...string) (string, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, virshTimeout)
		defer cancel()
	}
	var stdout, stderr bytes.Buffer
	c := h.Command(ctx, "virsh", append([]string{"--quiet", "--connect", "qemu:///system"}, args...)...)
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		}
		return strings.TrimSpace(stdout.String()), fmt.Errorf("%s: virsh %s: %w: %s",
			h.Name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
