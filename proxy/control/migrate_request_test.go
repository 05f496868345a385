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
		{"definition alone", func(r *MigrateRequest) { r.Offline, r.Persistent, r.Name, r.XML = true, true, "web2", "<domain/>" }, ""},
		{"definition of nothing", func(r *MigrateRequest) { r.Offline = true }, "add --persistent"},
		{"definition with disks", func(r *MigrateRequest) { r.Offline, r.Persistent, r.CopyStorage = true, true, CopyAll }, "leave out --copy-storage-all"},
		{"definition with memory", func(r *MigrateRequest) { r.Offline, r.Persistent, r.Compressed = true, true, true }, "no memory"},
		{"definition compressed", func(r *MigrateRequest) {
			r.Offline, r.Persistent = true, true
			r.Values.setList(OptionCompression, []string{"mt"})
		}, "leave out --comp-methods"},
		{"long name", func(r *MigrateRequest) { r.Name = strings.Repeat("a", 1025) }, "--dname"},
		{"long description", func(r *MigrateRequest) { r.XML = strings.Repeat("a", maxDescription+1) }, "--xml"},
		{"persistent description of a transient guest", func(r *MigrateRequest) { r.PersistentXML = "<domain/>" }, "add --persistent"},
		{"paused in post-copy", func(r *MigrateRequest) { r.Suspend, r.PostCopy = true, true }, "--suspend or --postcopy"},
		{"resume with a description", func(r *MigrateRequest) { r.PostCopyResume, r.PostCopy, r.XML = true, true, "<domain/>" }, "leave out --xml"},
		{"disks made for nothing", func(r *MigrateRequest) { r.CreateDisks = true }, "--copy-storage-all"},
		{"synchronous writes of nothing", func(r *MigrateRequest) { r.Synchronous = true }, "--copy-storage-all"},
		{"disks of nothing", func(r *MigrateRequest) { r.Values.setList(OptionDisks, []string{"vda"}) }, "--copy-storage-all"},
		{"a disk twice", func(r *MigrateRequest) {
			r.CopyStorage = CopyInc
			r.Values.setList(OptionDisks, []string{"vda", "vda"})
		}, "there twice"},
		{"no disks", func(r *MigrateRequest) {
			r.CopyStorage = CopyInc
			r.Values.setList(OptionDisks, nil)
		}, "0 names"},
		{"a number for names", func(r *MigrateRequest) { r.Values.setNumber(OptionDisks, 1) }, "takes a number"},
		{"an option of a newer sluice", func(r *MigrateRequest) { r.Values.setNumber("comp-lz4-level", 1) }, `no option "--comp-lz4-level"`},
		{"names for a number", func(r *MigrateRequest) { r.Values.setList("comp-mt-level", []string{"1"}) }, "takes names"},
		{"xbzrle", func(r *MigrateRequest) {
			r.Values.setList(OptionCompression, []string{"xbzrle"})
			r.Values.setNumber("comp-xbzrle-cache", 1<<20)
		}, ""},
		{"cache of a method not named", func(r *MigrateRequest) {
			r.Compressed = true
			r.Values.setNumber("comp-xbzrle-cache", 1<<20)
		}, "add --comp-methods xbzrle"},
		{"level of nothing", func(r *MigrateRequest) { r.Values.setNumber("comp-mt-level", 9) }, "add --comp-methods mt"},
		{"high level", func(r *MigrateRequest) {
			r.Values.setList(OptionCompression, []string{"mt"})
			r.Values.setNumber("comp-mt-level", 10)
		}, "9 is the most"},
		{"unknown method", func(r *MigrateRequest) { r.Values.setList(OptionCompression, []string{"lzma"}) }, "no method"},
		{"several connections", func(r *MigrateRequest) {
			r.ParallelConnections = 4
			r.Values.setList(OptionCompression, []string{"zstd"})
			r.Values.setNumber("comp-zstd-level", 0)
		}, ""},
		{"several connections without a method", func(r *MigrateRequest) { r.ParallelConnections, r.Compressed = 4, true }, "--comp-methods zstd"},
		{"several connections with two methods", func(r *MigrateRequest) {
			r.ParallelConnections = 4
			r.Values.setList(OptionCompression, []string{"zstd", "xbzrle"})
		}, "one method"},
		{"one connection", func(r *MigrateRequest) { r.Values.setList(OptionCompression, []string{"zstd"}) }, "add --parallel"},
		{"auto-converge", func(r *MigrateRequest) { r.Values.setNumber("auto-converge-initial", 20) }, "add --auto-converge"},
		{"post-copy", func(r *MigrateRequest) { r.Values.setNumber("postcopy-bandwidth", 20) }, "add --postcopy"},
		{"a goal", func(r *MigrateRequest) {
			r.Auto, r.MaxDowntime, r.Deadline, r.Allow = Yes, "1s", "30s/GiB", []string{"pause", "slow", "postcopy"}
			r.Values.setNumber("auto-converge-initial", 20)
			r.Values.setNumber("postcopy-bandwidth", 20)
		}, ""},
		{"no goal", func(r *MigrateRequest) { r.Auto, r.Timeout, r.AutoConverge, r.PostCopy = No, 5, true, true }, ""},
		{"nothing allowed", func(r *MigrateRequest) { r.Allow = []string{"none"} }, ""},
		{"auto", func(r *MigrateRequest) { r.Auto = "perhaps" }, `"perhaps"`},
		{"a goal that is off", func(r *MigrateRequest) { r.Auto, r.Deadline = No, "1m" }, "--auto=false"},
		{"no downtime", func(r *MigrateRequest) { r.MaxDowntime = "0" }, "--max-downtime"},
		{"a downtime without a unit", func(r *MigrateRequest) { r.MaxDowntime = "300" }, "its unit"},
		{"a negative downtime", func(r *MigrateRequest) { r.MaxDowntime = "-1s" }, "1ms"},
		{"a downtime of hours", func(r *MigrateRequest) { r.MaxDowntime = "1h" }, "QEMU takes"},
		{"a deadline that is over", func(r *MigrateRequest) { r.Deadline = "0s/GiB" }, "before it begins"},
		{"a negative deadline", func(r *MigrateRequest) { r.Deadline = "-5m" }, "before it begins"},
		{"a deadline by another unit", func(r *MigrateRequest) { r.Deadline = "30s/GB" }, "--deadline"},
		{"a deadline that never comes", func(r *MigrateRequest) { r.Deadline = "100000h" }, "too long"},
		{"an unknown means", func(r *MigrateRequest) { r.Allow = []string{"slow", "magic"} }, `no "magic"; there are slow, postcopy, pause and none`},
		{"means twice", func(r *MigrateRequest) { r.Allow = []string{"slow", "slow"} }, "twice"},
		{"means and none", func(r *MigrateRequest) { r.Allow = []string{"slow", "none"} }, "alone"},
		{"a goal and a timeout", func(r *MigrateRequest) { r.Auto, r.Timeout = Yes, 5 }, "leave out --timeout"},
		{"a goal and post-copy", func(r *MigrateRequest) { r.Deadline, r.PostCopy = "1m", true }, "leave out --timeout, --postcopy"},
		{"a goal and auto-converge", func(r *MigrateRequest) { r.Allow, r.AutoConverge = []string{"slow"}, true }, "--auto-converge"},
		{"a goal of a definition", func(r *MigrateRequest) { r.Auto, r.Offline, r.Persistent = Yes, true, true }, "leave them out"},
		{"a goal of a resume", func(r *MigrateRequest) { r.Auto, r.PostCopyResume, r.PostCopy = Yes, true, true }, "leave them out"},
		{"paused, and in post-copy perhaps", func(r *MigrateRequest) { r.Auto, r.Suspend, r.Allow = Yes, true, []string{"postcopy"} }, "--suspend"},
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
