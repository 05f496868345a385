package config

import (
	"math"
	"time"
)

// None is a limit that is off. Load sets it for every negative value where a limit may be off, and
// where the default is to have none; so after Load a limit holds if and only if it is above zero.
const None = -1

// longest is the longest duration taken: beyond it a number has a wrong unit.
const longest = 10 * 365 * 24 * time.Hour

// longestProbe keeps sluice plan short.
const longestProbe = time.Minute

// maxMiB keeps a rate in bytes within an int64.
const maxMiB = math.MaxInt64 >> 20

// limits completes l from what the document says of durations. The least
// values are those below which no healthy migration would pass.
func (c *checker) limits(l *Limits, doc *documentLimits) {
	for _, d := range []struct {
		key          string
		text         durationText
		value        *time.Duration
		initial, min time.Duration
		optional     bool // may be off
	}{
		{"handshake_timeout", doc.HandshakeTimeout, &l.HandshakeTimeout, 10 * time.Second, 100 * time.Millisecond, false},
		{"idle_timeout", doc.IdleTimeout, &l.IdleTimeout, 30 * time.Second, time.Second, false},
		{"session_timeout", doc.SessionTimeout, &l.SessionTimeout, 24 * time.Hour, time.Second, true},
		{"prepare_timeout", doc.PrepareTimeout, &l.PrepareTimeout, 60 * time.Second, time.Second, false},
		{"finish_timeout", doc.FinishTimeout, &l.FinishTimeout, 60 * time.Second, time.Second, false},
		{"give_up_timeout", doc.GiveUpTimeout, &l.GiveUpTimeout, 15 * time.Second, time.Second, false},
		{"drain_timeout", doc.DrainTimeout, &l.DrainTimeout, 10 * time.Minute, time.Second, true},
		{"probe_time", doc.ProbeTime, &l.ProbeTime, time.Second, 100 * time.Millisecond, false},
	} {
		*d.value = c.duration("limits."+d.key, d.text, d.initial, d.min, d.optional)
	}

	if l.ProbeTime > longestProbe {
		c.fault("limits.probe_time", "%q is too long for one probe; write at most %q", doc.ProbeTime, longestProbe)
	}
	l.Sessions = int(c.count("limits.sessions", int64(l.Sessions), 200, 1, 10_000))
	// A migration has a control channel and memory: 2. QEMU takes 257 connections for memory at most
	// (--parallel-connections 255), and there are disks beside them.
	l.Channels = int(c.count("limits.channels", int64(l.Channels), 320, 2, 1024))
	l.PeerSessions = int(c.count("limits.peer_sessions", int64(l.PeerSessions), 100, 1, 10_000))
	l.PeerChannels = int(c.count("limits.peer_channels", int64(l.PeerChannels), 1024, 2, 100_000))
	l.PeerAsks = int(c.count("limits.peer_asks", int64(l.PeerAsks), 8, 1, 1024))
	l.UserConnections = int(c.count("limits.user_connections", int64(l.UserConnections), 256, 1, 100_000))
	// The longest packet of libvirt's protocol has 32 MiB and 4 bytes.
	l.PeerMemory = c.count("limits.peer_memory", l.PeerMemory, 128, 33, 1<<20)
	const mostProbed = 4096
	switch {
	case l.ProbeSize == 0:
		l.ProbeSize = 16
	case l.ProbeSize < 1 || l.ProbeSize > mostProbed:
		c.fault("limits.probe_size", "%d must be from 1 to %d MiB", l.ProbeSize, mostProbed)
	}
	l.HistorySessions = c.history("limits.history_sessions", l.HistorySessions, 1000, 100_000)
	l.HistoryDays = c.history("limits.history_days", l.HistoryDays, 90, 3650)
	l.SessionBytes = c.size("limits.session_bytes", l.SessionBytes, math.MaxInt64)
	l.SessionBandwidth = c.size("limits.session_bandwidth", l.SessionBandwidth, maxMiB)
	l.TotalBandwidth = c.size("limits.total_bandwidth", l.TotalBandwidth, maxMiB)
}

func (c *checker) duration(key string, text durationText, initial, least time.Duration, optional bool) time.Duration {
	if text == "" {
		return initial
	}
	d, err := time.ParseDuration(string(text))
	switch {
	case err != nil:
		c.fault(key, `%q is not a duration; write a number with its unit in quotes, such as "500ms", "30s", "10m" or "24h"`, string(text))
	case d == 0:
		return initial
	case d < 0 && optional:
		return None
	case d < 0:
		c.fault(key, "%q is negative, and this limit cannot be off; write at least %q", string(text), least)
	case d < least:
		c.fault(key, "%q is too short to work with; write at least %q", string(text), least)
	case d > longest:
		c.fault(key, "%q is too long; write at most %q", string(text), longest)
	}
	return d
}

func (c *checker) count(key string, n, initial, least, most int64) int64 {
	if n == 0 {
		return initial
	}
	if n < least || n > most {
		c.fault(key, "%d must be from %d to %d; it bounds this host's memory, so it cannot be off", n, least, most)
	}
	return n
}

func (c *checker) history(key string, n, initial, most int) int {
	if n == 0 {
		return initial
	}
	if n < 1 || n > most {
		c.fault(key, "%d must be from 1 to %d; state_dir = %q keeps no history", n, most, StateOff)
	}
	return n
}

func (c *checker) size(key string, n, most int64) int64 {
	if n <= 0 {
		return None
	}
	if n > most {
		c.fault(key, "%d is too large; write at most %d, or leave it out for no limit", n, most)
	}
	return n
}
