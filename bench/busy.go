package bench

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/procfs"
)

const (
	lookFor   = 3 * time.Second // how long a machine is watched before it is measured on
	quietBusy = 0.05            // what others may use of one processor meanwhile
	namedBusy = 5               // how many of them are named in words
)

// BusyError is a machine that does other things, which a benchmark would measure as well.
type BusyError struct {
	Others float64  // processors in use, on average; 0.3 is a third of one
	Stolen float64  // processors that the machine's own host did not give it
	Who    []string // the programs that used a hundredth of one or more, by how much
}

func (e *BusyError) Error() string {
	s := fmt.Sprintf("the machine is busy: in %v others used %.2f processors", lookFor, e.Others)
	if len(e.Who) > 0 {
		s += " (" + strings.Join(e.Who[:min(len(e.Who), namedBusy)], ", ") + ")"
	}
	if e.Stolen >= 0.01 {
		s += fmt.Sprintf(", and its host kept %.2f of them for itself", e.Stolen)
	}
	return s + "; end that first, or measure all the same (--busy), for figures that say little"
}

// CheckQuiet watches the machine for three seconds. The error is a *BusyError if others than this
// process, or the machine's own host, use more than a twentieth of a processor meanwhile.
func CheckQuiet(ctx context.Context) error {
	before, err := look()
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(lookFor):
	}
	after, err := look()
	if err != nil {
		return err
	}
	e := after.since(before)
	if e.Others+e.Stolen > quietBusy {
		return e
	}
	return nil
}

// activity is what has used the machine so far, in CPU seconds.
type activity struct {
	at           time.Time
	busy, stolen float64 // since the machine's start
	own          float64
	processes    map[int]procfs.ProcStat
}

func look() (a activity, err error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return a, err
	}
	a.at, a.processes = time.Now(), make(map[int]procfs.ProcStat)
	stat, err := fs.Stat()
	if err != nil {
		return a, err
	}
	c := stat.CPUTotal
	a.busy, a.stolen = c.User+c.Nice+c.System+c.IRQ+c.SoftIRQ, c.Steal
	all, err := fs.AllProcs()
	if err != nil {
		return a, err
	}
	for _, p := range all {
		if st, err := p.Stat(); err == nil { // it may have ended
			a.processes[p.PID] = st
		}
	}
	a.own = a.processes[os.Getpid()].CPUTime()
	return a, nil
}

// since is what others have done from one look to the next. Programs that began and ended between
// them are counted, and not named.
func (a activity) since(before activity) *BusyError {
	took := a.at.Sub(before.at).Seconds()
	e := &BusyError{Stolen: (a.stolen - before.stolen) / took}
	e.Others = max(0, (a.busy-before.busy-a.own+before.own)/took)
	type used struct {
		procfs.ProcStat
		cpu float64
	}
	var all []used
	for pid, st := range a.processes {
		cpu := st.CPUTime()
		if was, is := before.processes[pid]; is && was.Starttime == st.Starttime {
			cpu -= was.CPUTime()
		}
		if pid != os.Getpid() && cpu/took >= 0.01 {
			all = append(all, used{st, cpu / took})
		}
	}
	slices.SortFunc(all, func(a, b used) int { return cmp.Compare(b.cpu, a.cpu) })
	for _, u := range all {
		e.Who = append(e.Who, fmt.Sprintf("%s (pid %d) %.2f", u.Comm, u.PID, u.cpu))
	}
	return e
}
