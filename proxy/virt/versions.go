package virt

import (
	"context"
	"fmt"
)

// Versions are those of a host's programs, as libvirt tells them; QEMU's is empty where it has
// none.
type Versions struct{ Libvirt, QEMU string }

// Versions asks this host's libvirt, within ctx.
func (l Libvirt) Versions(ctx context.Context) (Versions, error) {
	v, err := l.Connect(ctx)
	if err != nil {
		return Versions{}, err
	}
	defer v.Close()
	return v.Versions(ctx)
}

// Versions asks within ctx.
func (v *Conn) Versions(ctx context.Context) (all Versions, err error) {
	err = v.Bound(ctx, func() error {
		n, err := v.ConnectGetLibVersion()
		if err != nil {
			return err
		}
		all.Libvirt = FormatVersion(n)
		n, err = v.ConnectGetVersion()
		switch {
		case err == nil:
			all.QEMU = FormatVersion(n)
		case FromDriver(err): // it has none
			return nil
		}
		return err
	})
	return all, err
}

// FormatVersion writes out one of libvirt's numbers: 1,000,000 for each major version.
func FormatVersion(n uint64) string {
	return fmt.Sprintf("%d.%d.%d", n/1_000_000, n/1000%1000, n%1000)
}
