package arrival

import (
	"context"
	"time"

	"github.com/digitalocean/go-libvirt"
)

// Downtime asks libvirt here how long a guest that has come did not run; 0 if it does not say.
func (a *Arrivals) Downtime(uuid libvirt.UUID) time.Duration {
	ctx, cancel := context.WithTimeout(context.Background(), a.Config.Limits.GiveUpTimeout)
	defer cancel()
	conn, err := a.Libvirt.Connect(ctx)
	if err != nil {
		return 0
	}
	defer conn.Close()
	steps := Steps{Virt: conn, UUID: uuid}
	return time.Duration(steps.Downtime(ctx))
}
