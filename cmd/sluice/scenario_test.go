package main

import (
	"fmt"
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// scenarios are what a stand-in of the daemon has under way. Ages are of an hour and more, which is
// shown in minutes, so that screens stay the same while a test runs.
var scenarios = map[string]func() *control.Status{
	"fleet":    func() *control.Status { return fleet(3, 60) },
	"sessions": func() *control.Status { return fleet(40, 60) },
}

// fleet is a host with so many migrations, and peers.
func fleet(sessions, peers int) *control.Status {
	const suite = "TLS_AES_128_GCM_SHA256"
	st := standinStatus()
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	st.Sessions, st.Ended, st.Peers = nil, nil, nil
	st.Certificates.Expiry[1].Seconds = 7200
	st.Certificates.ReloadErrors[0].At = ago(2 * time.Hour)
	for i := range st.Tunnels {
		for c := range st.Tunnels[i].Connections {
			st.Tunnels[i].Connections[c].Started = ago(time.Hour)
		}
		for c := range st.Tunnels[i].Ended {
			st.Tunnels[i].Ended[c].Ended = ago(2 * time.Hour)
		}
	}
	for i := range sessions {
		s := control.SessionStatus{
			ID: fmt.Sprintf("81dabf6a10ad6a8af24329689924%04x", i), Kind: "migration", Direction: control.Outgoing,
			Guest: fmt.Sprintf("web%d.example.org", i+1), Peer: fmt.Sprintf("host-%02d", i%60+1), Phase: control.PhaseMemory, Started: ago(time.Hour),
			Sent: 3 << 30, Received: 1 << 20, Rate: 812 << 20, TLS: "TLS1.3", Suite: suite, Path: "records", Memory: "sluice",
			Progress: &control.Progress{
				Phase: control.PhaseMemory, Percent: 42, Total: 8 << 30, Processed: 3 << 30, Remaining: 5 << 30, Rate: 812 << 20, DirtyRate: 12 << 20, Iteration: 2, ETA: 7 * time.Second,
			},
			Channels: []control.ChannelStatus{
				{Name: "control", Path: "records", TLS: "TLS1.3", Suite: suite, Open: true},
				{Name: "memory-0", Path: "records", TLS: "TLS1.3", Suite: suite, Sent: 3 << 30, Open: true},
			},
		}
		switch i {
		case 1:
			s.Guest, s.Progress.DirtyRate, s.Progress.ETA = "\u6570\u636e\u5e93-primary", 900<<20, 0 // of wide characters
			s.Progress.Stalled = "no progress over the last 4 passes: the guest changes 900.0 MiB/s of its memory, and 812.0 MiB/s get through. " +
				"It ends only if the guest changes less: cancel it and use --auto with --allow, or allow more bandwidth (--bandwidth, limits)"
		case 2:
			s.Guest, s.Phase, s.Progress, s.Channels = "new1", control.PhaseConnect, nil, nil
			s.Sent, s.Received, s.Rate, s.TLS, s.Suite, s.Path, s.Memory = 0, 0, 0, "", "", "", ""
		}
		st.Sessions = append(st.Sessions, s)
	}
	st.Ended = []control.SessionStatus{
		{ID: "e1", Guest: "db1", Direction: control.Outgoing, Peer: "host-07", Outcome: control.Failed, Started: ago(2*time.Hour + 30*time.Second), Ended: ago(2 * time.Hour),
			Sent: 1 << 30, TLS: "TLS1.3", Suite: suite, Path: "records", Memory: "sluice",
			Cause: "disk-0: host-07: write /var/lib/libvirt/images/db1-data.qcow2: no space left on device; free some, or give the destination a larger disk"},
		{ID: "e2", Guest: "web9", Direction: control.Incoming, Peer: "host-02", Outcome: control.Moved, Started: ago(3*time.Hour + 41*time.Second), Ended: ago(3 * time.Hour),
			Received: 8 << 30, TLS: "TLS1.3", Suite: suite, Path: "ktls", Memory: "sluice"},
		{ID: "e3", Guest: "web8", Direction: control.Outgoing, Peer: "host-09", Outcome: control.Failed, Started: ago(4*time.Hour + 10*time.Second), Ended: ago(4 * time.Hour),
			Cause: "connect to host-09:16514: connection refused: is its sluice running?"},
	}
	st.Leaving = []control.DepartureStatus{{Guest: "mail1", UUID: "u", Peer: "host-05", Session: "81dabf6a10ad6a8af243296899d98144", Asked: ago(time.Hour), Stopped: true, Overdue: true,
		Last: "host-05: connect: no route to host"}}
	for i := range peers {
		name := fmt.Sprintf("host-%02d", i+1)
		st.Peers = append(st.Peers, control.PeerStatus{Name: name, Address: name + ".example.org:16514", Names: []string{name}, Priority: "SECURE256", Socket: "/run/sluice/peers/" + name + "/libvirt.sock"})
	}
	return st
}
