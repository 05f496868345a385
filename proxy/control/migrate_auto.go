package control

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// What MigrateRequest.Allow may name: what may be done to a guest that does not get through by itself.
const (
	AllowSlow     = "slow"     // QEMU takes time from it
	AllowPostCopy = "postcopy" // it runs at the destination before all of its memory is there
	AllowPause    = "pause"    // it stands still for longer than MaxDowntime
	AllowNone     = "none"     // alone: none of them, whatever the daemon's configuration says
)

// allowed are those in the order in which they are used.
var allowed = []string{AllowSlow, AllowPostCopy, AllowPause}

// DefaultMaxDowntime is for migrations for which neither the request nor the daemon's configuration
// says it.
const DefaultMaxDowntime = "300ms"

// MostDowntime is the most that QEMU takes (MAX_MIGRATE_DOWNTIME in migration/options.c).
const MostDowntime = 2000 * time.Second

// ParseMaxDowntime reads for how long a guest may stand still, such as "300ms".
func ParseMaxDowntime(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf(`%.40q is not a time; write a number with its unit, such as "300ms" or "1s"`, text)
	case d < time.Millisecond:
		return 0, fmt.Errorf("%.40q can't be reached: a guest that is moved stands still for some time; write 1ms at the least", text)
	case d > MostDowntime:
		return 0, fmt.Errorf("%.40q is more than QEMU takes, %v", text, MostDowntime)
	}
	return d, nil
}

// Deadline is the time that a migration may take.
type Deadline struct {
	Time   time.Duration
	PerGiB bool // of the guest's memory
}

const perGiB = "/GiB"

// longestDeadline is beyond what anybody waits for: the number has another unit.
const longestDeadline = 365 * 24 * time.Hour

// ParseDeadline reads a deadline, such as "10m", or "30s/GiB" for so much of each GiB of memory.
func ParseDeadline(text string) (Deadline, error) {
	amount, per := strings.CutSuffix(text, perGiB)
	d, err := time.ParseDuration(amount)
	switch {
	case err != nil:
		return Deadline{}, fmt.Errorf(`%.40q is not a time; write a number with its unit, such as "10m", or "30s/GiB" for each GiB of the guest's memory`, text)
	case d <= 0:
		return Deadline{}, fmt.Errorf(`%.40q is over before it begins; write the time that the migration may take, such as "10m" or "30s/GiB"`, text)
	case d > longestDeadline:
		return Deadline{}, fmt.Errorf("%.40q is too long; write %v at the most, or none", text, longestDeadline)
	}
	return Deadline{Time: d, PerGiB: per}, nil
}

// Of is the deadline of a guest with so many bytes of memory.
func (d Deadline) Of(memory uint64) time.Duration {
	if !d.PerGiB {
		return d.Time
	}
	return time.Duration(min(float64(d.Time)*float64(memory)/(1<<30), float64(longestDeadline)))
}

// CheckAllow says what is wrong with a list of what may be done to a guest.
func CheckAllow(words []string) error {
	for i, w := range words {
		switch {
		case w == AllowNone && len(words) > 1:
			return errors.New("none stands alone, or not at all")
		case w != AllowNone && !slices.Contains(allowed, w):
			return fmt.Errorf("there is no %.40q; there are %s and none", w, strings.Join(allowed, ", "))
		case slices.Contains(words[:i], w):
			return fmt.Errorf("%s is there twice", w)
		}
	}
	return nil
}

// HasGoal says whether a request asks for a goal, and not only follows the daemon's configuration.
func (r *MigrateRequest) HasGoal() bool {
	return r.Auto == Yes || r.goals()
}

func (r *MigrateRequest) goals() bool {
	return r.MaxDowntime != "" || r.Deadline != "" || len(r.Allow) > 0
}

// ByHand says whether a request has an option which is about the same as a goal.
func (r *MigrateRequest) ByHand() bool {
	return r.Timeout != 0 || r.PostCopy || r.PostCopyResume || r.AutoConverge || r.Offline
}

// checkAuto looks at the goal.
func (r *MigrateRequest) checkAuto() error {
	switch {
	case r.Auto != Unset && r.Auto != Yes && r.Auto != No:
		return WrongUse("auto is %.40q; it may be %q, %q or absent, which follows the daemon's configuration", r.Auto, Yes, No)
	case r.Auto == No && r.goals():
		return WrongUse("--max-downtime, --deadline and --allow are about --auto: leave out --auto=false")
	case r.HasGoal() && (r.Offline || r.PostCopyResume):
		return WrongUse("--auto, --max-downtime, --deadline and --allow are about a guest that runs here: leave them out with --offline and --postcopy-resume")
	case r.HasGoal() && r.ByHand():
		return WrongUse("--auto decides by itself when to do what: leave out --timeout, --postcopy and --auto-converge, and say by --deadline and --allow what it may do")
	case r.Suspend && slices.Contains(r.Allow, AllowPostCopy):
		return WrongUse("a guest in post-copy has to run, to fetch its memory: leave out --suspend, or postcopy of --allow")
	}
	if r.MaxDowntime != "" {
		if _, err := ParseMaxDowntime(r.MaxDowntime); err != nil {
			return WrongUse("--max-downtime: %v", err)
		}
	}
	if r.Deadline != "" {
		if _, err := ParseDeadline(r.Deadline); err != nil {
			return WrongUse("--deadline: %v", err)
		}
	}
	if err := CheckAllow(r.Allow); err != nil {
		return WrongUse("--allow: %v", err)
	}
	return nil
}
