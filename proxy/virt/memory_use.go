package virt

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/digitalocean/go-libvirt"
)

// memoryStatRSS is VIR_DOMAIN_MEMORY_STAT_RSS (libvirt-domain.h), in KiB.
const memoryStatRSS = 7

// Resident is how many bytes the guest's QEMU has in memory: what the guest has never touched is not
// among them, and neither are huge pages.
func (v *Conn) Resident(ctx context.Context, dom libvirt.Domain) (bytes uint64, err error) {
	err = v.Bound(ctx, func() error {
		stats, err := v.DomainMemoryStats(dom, 32, 0)
		for _, s := range stats {
			if s.Tag == memoryStatRSS {
				bytes = s.Val << 10
			}
		}
		return err
	})
	if err == nil && bytes == 0 {
		err = errors.New("libvirt does not say")
	}
	return bytes, err
}

// MostMemory is how many bytes the guest may have, and QEMU has for it.
func (v *Conn) MostMemory(ctx context.Context, dom libvirt.Domain) (bytes uint64, err error) {
	err = v.Bound(ctx, func() error {
		_, kib, _, _, _, err := v.DomainGetInfo(dom)
		bytes = kib << 10
		return err
	})
	return bytes, err
}

// MaxDowntime is what QEMU allows itself for the guest.
func (v *Conn) MaxDowntime(ctx context.Context, dom libvirt.Domain) (most time.Duration, err error) {
	err = v.Bound(ctx, func() error {
		ms, err := v.DomainMigrateGetMaxDowntime(dom, 0)
		most = time.Duration(min(ms, 1<<40)) * time.Millisecond
		return err
	})
	return most, err
}

// dirtyRateStats is VIR_DOMAIN_STATS_DIRTYRATE, and dirtyRateMeasured VIR_DOMAIN_DIRTYRATE_MEASURED.
const (
	dirtyRateStats    = 1 << 9
	dirtyRateMeasured = 2
	dirtyRateInterval = 100 * time.Millisecond
)

// Dirtied is how many bytes of its memory the guest changes within the given seconds, each counted
// once. QEMU samples pages for it, 512 of each GiB, and tells whole MiB per second.
func (v *Conn) Dirtied(ctx context.Context, dom libvirt.Domain, seconds int) (bytes uint64, err error) {
	err = v.Bound(ctx, func() error { return v.DomainStartDirtyRateCalc(dom, int32(seconds), 0) })
	if err != nil {
		return 0, err
	}
	again := time.NewTicker(dirtyRateInterval)
	defer again.Stop()
	for {
		select {
		case <-again.C:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
		n := make(map[string]uint64)
		err := v.Bound(ctx, func() error {
			all, err := v.ConnectGetAllDomainStats([]libvirt.Domain{dom}, dirtyRateStats, 0)
			for _, one := range all {
				n = numbers(one.Params)
			}
			return err
		})
		switch {
		case err != nil:
			return 0, err
		case n["dirtyrate.calc_status"] != dirtyRateMeasured:
		case n["dirtyrate.calc_period"] != uint64(seconds):
			return 0, fmt.Errorf("libvirt measures over %d seconds, as somebody else has asked", n["dirtyrate.calc_period"])
		default:
			return n["dirtyrate.megabytes_per_second"] << 20 * uint64(seconds), nil
		}
	}
}

// numbers are parameters that are numbers, by their names; those below zero are zero.
func numbers(params []libvirt.TypedParam) map[string]uint64 {
	n := make(map[string]uint64, len(params))
	for _, p := range params {
		switch value := p.Value.I.(type) {
		case uint64:
			n[p.Field] = value
		case int64:
			n[p.Field] = uint64(max(value, 0))
		case int32:
			n[p.Field] = uint64(max(value, 0))
		case uint32:
			n[p.Field] = uint64(value)
		}
	}
	return n
}
