package virt

import (
	"time"

	"github.com/digitalocean/go-libvirt"
)

// JobStats are libvirt's figures of a migration, in bytes. A source sends them to its destination
// as they are.
// Source: virDomainGetJobStats, the VIR_DOMAIN_JOB_* fields of
// libvirt-domain.h.
type JobStats struct {
	Total     uint64 `msgpack:"total"` // memory and disks
	Processed uint64 `msgpack:"processed"`
	Remaining uint64 `msgpack:"remaining"`

	Disks           uint64 `msgpack:"disks"` // of Total; 0 where none are copied
	MemoryRemaining uint64 `msgpack:"memory_remaining"`
	Iteration       uint64 `msgpack:"iteration"`  // passes over memory begun
	DirtyRate       uint64 `msgpack:"dirty_rate"` // bytes per second
	Throttle        uint64 `msgpack:"throttle"`   // percent of its time that auto-converge takes from the guest

	Downtime time.Duration `msgpack:"-"` // of one under way it is what QEMU expects
	Leaving  bool          `msgpack:"-"` // it is a migration away from this host
	Elapsed  time.Duration `msgpack:"-"` // since it began
}

// migrationOut is VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT (libvirt-domain.h).
const migrationOut = 5

// JobStats asks for the figures of the job under way, or with DomainJobStatsCompleted of the last
// that has ended. under says whether there is one.
func (v *Conn) JobStats(dom libvirt.Domain, flags libvirt.DomainGetJobStatsFlags) (st JobStats, under bool, err error) {
	kind, params, err := v.DomainGetJobStats(dom, flags)
	if err != nil {
		return JobStats{}, false, err
	}
	n := numbers(params)
	page := n["memory_page_size"]
	if page == 0 {
		page = 4096
	}
	return JobStats{
		Total:           n["data_total"],
		Processed:       n["data_processed"],
		Remaining:       n["data_remaining"],
		Disks:           n["disk_total"],
		MemoryRemaining: n["memory_remaining"],
		Iteration:       n["memory_iteration"],
		DirtyRate:       n["memory_dirty_rate"] * page,
		Throttle:        n["auto_converge_throttle"],
		Leaving:         n["operation"] == migrationOut,
		Downtime:        time.Duration(n["downtime"]) * time.Millisecond,
		Elapsed:         time.Duration(n["time_elapsed"]) * time.Millisecond,
	}, libvirt.DomainJobType(kind) != libvirt.DomainJobNone, nil
}
