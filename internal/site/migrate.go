package site

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/virt-sluice/sluice/internal/stand"
	"github.com/virt-sluice/sluice/proxy/control"
)

// Migrate runs `sluice migrate --json` for a guest, to the other host. There is a result beside the
// error if the guest has not moved.
func (d *Daemon) Migrate(ctx context.Context, guest string, args ...string) (*control.Result, error) {
	var events stand.Events
	var said bytes.Buffer
	c := d.Command(ctx, append([]string{"migrate", guest, d.Host.Peer().Name, "--json"}, args...)...)
	c.Stdout, c.Stderr = &events, &said
	err := c.Run()
	r := events.Result()
	if err == nil && r == nil {
		err = errors.New("it printed no result")
	}
	if err != nil {
		err = fmt.Errorf("sluice migrate %s: %w: %s", guest, err, bytes.TrimSpace(said.Bytes()))
	}
	return r, err
}
