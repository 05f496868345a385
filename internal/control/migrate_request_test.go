package control

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*MigrateRequest)
		says string // empty: nothing is wrong
	}{
		{"plain", func(*MigrateRequest) {}, ""},
		{"everything", func(r *MigrateRequest) {
			r.CopyStorage, r.PostCopy, r.Timeout, r.TimeoutAction, r.TLS, r.ParallelConnections = CopyInc, true, 1, TimeoutPostCopy, No, 255
		}, ""},
		{"resume", func(r *MigrateRequest) { r.PostCopyResume, r.PostCopy = true, true }, ""},
		{"most bandwidth", func(r *MigrateRequest) { r.Bandwidth = maxBandwidth }, ""},
		{"no guest", func(r *MigrateRequest) { r.Guest = "" }, "name a guest"},
		{"guest with NUL", func(r *MigrateRequest) { r.Guest = "a\x00b" }, "name a guest"},
		{"no peer", func(r *MigrateRequest) { r.Peer = "" }, "name a peer"},
		{"copy storage", func(r *MigrateRequest) { r.CopyStorage = "some" }, "copy_storage"},
		{"tls", func(r *MigrateRequest) { r.TLS = "maybe" }, "tls"},
		{"many channels", func(r *MigrateRequest) { r.ParallelConnections = 256 }, "255"},
		{"negative channels", func(r *MigrateRequest) { r.ParallelConnections = -1 }, "255"},
		{"much bandwidth", func(r *MigrateRequest) { r.Bandwidth = maxBandwidth + 1 }, "bandwidth"},
		{"negative timeout", func(r *MigrateRequest) { r.Timeout = -1 }, "timeout"},
		{"action alone", func(r *MigrateRequest) { r.TimeoutAction = TimeoutSuspend }, "--timeout SECONDS"},
		{"unknown action", func(r *MigrateRequest) { r.Timeout, r.TimeoutAction = 1, "explode" }, "explode"},
		{"post-copy at timeout", func(r *MigrateRequest) { r.Timeout, r.TimeoutAction = 1, TimeoutPostCopy }, "--postcopy"},
		{"resume with disks", func(r *MigrateRequest) { r.PostCopyResume, r.CopyStorage = true, CopyAll }, "--copy-storage-all"},
		{"resume with timeout", func(r *MigrateRequest) { r.PostCopyResume, r.Timeout = true, 5 }, "no timeout"},
		{"resume with auto-converge", func(r *MigrateRequest) { r.PostCopyResume, r.AutoConverge = true, true }, "--auto-converge"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request()
			c.set(r)
			err := r.Check()
			switch {
			case c.says == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.says != "" && (err == nil || !IsWrongUse(err) || !strings.Contains(err.Error(), c.says)):
				t.Errorf("error %v, want wrong use that says %q", err, c.says)
			}
		})
	}
}
