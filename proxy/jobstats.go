package proxy

import (
	"time"

	"github.com/digitalocean/go-libvirt"
)

// jobStats are libvirt's figures of a migration, in bytes.
// Source: virDomainGetJobStats, the VIR_DOMAIN_JOB_* fields of
// libvirt-domain.h.
type jobStats struct {
	total, processed, remaining uint64 // memory and disks
	iteration                   uint64 // passes over memory begun
	dirtyRate                   uint64 // bytes per second
	downtime                    time.Duration
}

func (v *virt) jobStats(dom libvirt.Domain, flags libvirt.DomainGetJobStatsFlags) (jobStats, error) {
	_, params, err := v.DomainGetJobStats(dom, flags)
	if err != nil {
		return jobStats{}, err
	}
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
	page := n["memory_page_size"]
	if page == 0 {
		page = 4096
	}
	return jobStats{
		total:     n["data_total"],
		processed: n["data_processed"],
		remaining: n["data_remaining"],
		iteration: n["memory_iteration"],
		dirtyRate: n["memory_dirty_rate"] * page,
		downtime:  time.Duration(n["downtime"]) * time.Millisecond,
	}, nil
}
