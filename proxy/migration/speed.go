package migration

import "github.com/virt-sluice/sluice/proxy/virt"

// followSpeed makes `virsh migrate-setspeed` beside a migration with --bandwidth count. libvirt tells
// QEMU, but the session's own limit would hold on where it is lower. While the job is under way,
// libvirt's speed for the guest is that of the job: if it is another than at first, the session takes
// it over, within the configured limit.
func (m *outgoing) followSpeed(v *virt.Conn, st virt.JobStats) {
	if m.req.Bandwidth == 0 || st.Total == 0 {
		return // QEMU alone has a limit that can be changed; or it has none yet
	}
	speed, err := v.DomainMigrateGetMaxSpeed(m.dom, 0) // MiB/s
	if err != nil || speed == m.speed {
		return
	}
	first := m.speed == 0
	if !first { // behind the job's end it is what libvirt has without one
		if _, under, err := v.JobStats(m.dom, 0); err != nil || !under {
			return
		}
	}
	if m.speed = speed; first {
		return
	}
	limit := m.host.Limits(speed).Bandwidth
	m.session.SetBandwidth(limit)
	m.entry.Decided("bandwidth is %d MiB/s from now on (migrate-setspeed)", speed)
	m.log.Info().Uint64("mib_per_second", speed).Msg("bandwidth changed (migrate-setspeed)")
}
