package control

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Flags are the options of `sluice migrate` that ask for the same, for history. What files hold is
// left out.
func (r *MigrateRequest) Flags() (flags []string) {
	for _, o := range []struct {
		given bool
		flag  string
	}{
		{r.CopyStorage == CopyAll, "--copy-storage-all"},
		{r.CopyStorage == CopyInc, "--copy-storage-inc"},
		{r.CreateDisks, "--create-disks"},
		{r.Synchronous, "--copy-storage-synchronous-writes"},
		{r.Persistent, "--persistent"},
		{r.UndefineSource, "--undefinesource"},
		{r.Name != "", "--dname " + r.Name},
		{r.XML != "", "--xml FILE"},
		{r.PersistentXML != "", "--persistent-xml FILE"},
		{r.Suspend, "--suspend"},
		{r.Offline, "--offline"},
		{r.PostCopy && !r.PostCopyResume, "--postcopy"},
		{r.PostCopyResume, "--postcopy-resume"},
		{r.ParallelConnections > 0, fmt.Sprintf("--parallel-connections %d", r.ParallelConnections)},
		{r.Bandwidth > 0, fmt.Sprintf("--bandwidth %d", r.Bandwidth)},
		{r.Compressed, "--compressed"},
		{r.Timeout > 0, fmt.Sprintf("--timeout %d", r.Timeout)},
		{r.TimeoutAction == TimeoutSuspend, "--timeout-suspend"},
		{r.TimeoutAction == TimeoutPostCopy, "--timeout-postcopy"},
		{r.AutoConverge, "--auto-converge"},
		{r.AbortOnError, "--abort-on-error"},
		{r.Unsafe, "--unsafe"},
		{r.Auto == Yes, "--auto"},
		{r.Auto == No, "--auto=false"},
		{r.MaxDowntime != "", "--max-downtime " + r.MaxDowntime},
		{r.Deadline != "", "--deadline " + r.Deadline},
		{len(r.Allow) > 0, "--allow " + strings.Join(r.Allow, ",")},
		{r.TLS != Unset, "--tls " + r.TLS},
	} {
		if o.given {
			flags = append(flags, o.flag)
		}
	}
	for _, o := range r.Values.Given() {
		value := strings.Join(r.Values.Lists[o.Name], ",")
		if !o.List {
			value = strconv.FormatUint(r.Values.Numbers[o.Name], 10)
		}
		flags = append(flags, "--"+o.Name+" "+value)
	}
	return slices.Clip(flags)
}
