package virt

import (
	"time"

	"github.com/digitalocean/go-libvirt"
)

// JobStats are libvirt's figures of a migration, in bytes.
// Source: virDomainGetJobStats, the VIR_DOMAIN_JOB_* fields of
// libvirt-domain.h.
type JobStats struct {
	Total, Processed, Remaining uint64 // memory and disks
	Iteration                   uint64 // passes over memory begun
	DirtyRate                   uint64 // bytes per second
	Downtime                    time.Duration
}

func (v *Conn) JobStats(dom libvirt.Domain, flags libvirt.DomainGetJobStatsFlags) (JobStats, error) {
	_, params, err := v.DomainGetJobStats(dom, flags)
	if err != nil {
		return JobStats{}, err
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
	return JobStats{
		Total:     n["data_total"],
		Processed: n["data_processed"],
		Remaining: n["data_remaining"],
		Iteration: n["memory_iteration"],
		DirtyRate: n["memory_dirty_rate"] * page,
		Downtime:  time.Duration(n["downtime"]) * time.Millisecond,
	}, nil
}
