package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/procfs"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/site"
)

// measurement is one migration.
type measurement struct {
	Guest   string  `json:"guest"` // running or paused
	Way     string  `json:"way"`
	Round   int     `json:"round"`
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"`        // of the whole machine
	Relays  float64 `json:"cpu_seconds_sluice"` // of both daemons
}

// moving is the guest and where it is now.
type moving struct {
	lab   *lab.Lab
	site  *site.Site
	guest *lab.Guest
	at    *site.Daemon
}

// migrate moves the guest to the other host and measures that.
func (b *moving) migrate(ctx context.Context, way string) (*measurement, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	to := b.at.Host.Peer().Name
	args := map[string][]string{
		"tcp":    {"migrate", "--live", "--p2p", b.guest.Name, "qemu+tcp://" + to + "/system"},
		"tls":    {"migrate", "--live", "--p2p", "--tls", b.guest.Name, "qemu+tcp://" + to + "/system"},
		"tunnel": {"migrate", "--live", "--p2p", "--tunnelled", b.guest.Name, "qemu+tcp://" + to + "/system"},
	}[way]
	cpu, err := machineCPU()
	if err != nil {
		return nil, err
	}
	relays, err := b.relaysCPU()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	var out []byte
	if way == "sluice" {
		out, err = b.at.Command(ctx, "migrate", b.guest.Name, to).CombinedOutput()
	} else {
		var text string
		text, err = b.at.Host.Virsh(ctx, args...)
		out = []byte(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", way, err, out)
	}
	m := &measurement{Way: way, Seconds: time.Since(start).Seconds()}
	after, err := machineCPU()
	if err != nil {
		return nil, err
	}
	m.CPU = (after - cpu).Seconds()
	m.Relays, err = b.relaysCPU()
	if err != nil {
		return nil, err
	}
	m.Relays -= relays
	if b.at = b.site.A; to == b.site.B.Host.Name {
		b.at = b.site.B
	}
	return m, nil
}

// relaysCPU is what both daemons have used so far, in seconds.
func (b *moving) relaysCPU() (sum float64, err error) {
	for _, d := range b.site.Daemons() {
		p, err := procfs.NewProc(d.Pid())
		if err != nil {
			return 0, err
		}
		st, err := p.Stat()
		if err != nil {
			return 0, err
		}
		sum += st.CPUTime()
	}
	return sum, nil
}

// machineCPU is the time that the machine's processors have worked, from the
// first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq.
func machineCPU() (time.Duration, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	var f [7]int64
	if _, err := fmt.Sscanf(string(data), "cpu %d %d %d %d %d %d %d", &f[0], &f[1], &f[2], &f[3], &f[4], &f[5], &f[6]); err != nil {
		return 0, fmt.Errorf("read /proc/stat: %w", err)
	}
	const tick = time.Second / 100 // USER_HZ
	return time.Duration(f[0]+f[1]+f[2]+f[5]+f[6]) * tick, nil
}
