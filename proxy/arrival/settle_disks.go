package arrival

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/proxy/virt"
)

// settleDisks ends a session's account of the disks that were made for it, by what became of its
// guest. What can't be settled now SettleDisks goes on with.
func (a *Arrivals) settleDisks(m *madeDisks, v Verdict) {
	defer a.disown(m)
	log := a.logOf(m)
	switch v {
	case Ran:
		if err := a.disks.forget(m); err != nil {
			log.Error().Err(err).Msg("the guest runs here by disks that were made for it, which can't be noted")
		}
	case NeverRan:
		ctx, cancel := context.WithTimeout(context.Background(), a.Config.Limits.GiveUpTimeout)
		defer cancel()
		leave, err := a.useFolders(ctx)
		if err == nil {
			defer leave()
			err = a.removeDisks(ctx, m)
		}
		a.removed(m, err)
	default:
		a.keepDisks(m, "nobody can tell whether the guest runs here")
	}
}

// removed says what came of removeDisks.
func (a *Arrivals) removed(m *madeDisks, err error) {
	log := a.logOf(m)
	var used *usedError
	switch {
	case err == nil:
		log.Info().Msg("the disks made for a guest that never ran here are removed")
	case errors.As(err, &used):
		a.keepDisks(m, used.Error())
	default:
		log.Warn().Err(err).Msg("the disks made for a guest that never ran here are not removed yet")
	}
}

// removeDisks removes what was made for a guest that never ran here, and forgets it; under
// useFolders. Nothing is removed of which somebody else could have come to depend.
func (a *Arrivals) removeDisks(ctx context.Context, m *madeDisks) error {
	uuid, err := virt.ParseUUID(m.UUID)
	if err != nil {
		return err
	}
	state, err := a.Libvirt.State(ctx, uuid)
	switch {
	case err != nil:
		return err
	case !state.Absent:
		return errGuestThere
	}
	var images []virt.Image
	for _, d := range m.Disks {
		if user, err := a.Libvirt.UsedBy(ctx, d.Path, uuid); err != nil {
			return err
		} else if user != "" {
			return &usedError{user, d.Path}
		}
		images = append(images, d.Image)
	}
	for _, folder := range foldersOf(images) {
		if err := a.removeIn(ctx, folder, m); err != nil {
			return err
		}
	}
	return a.disks.forget(m)
}

// errGuestThere: libvirt may be about to end it.
var errGuestThere = errors.New("libvirt has the guest still")

// usedError is of a disk that another guest has come to depend on, or may have.
type usedError struct{ guest, path string }

func (e *usedError) Error() string {
	return fmt.Sprintf("guest %s has %s in its description", e.guest, e.path)
}

// removeIn removes those that lie in one folder.
func (a *Arrivals) removeIn(ctx context.Context, folder string, m *madeDisks) error {
	f, err := a.Libvirt.OpenImageFolder(ctx, folder)
	if err != nil {
		return a.folderCause("opening the folder "+folder, err)
	}
	defer f.Close(context.WithoutCancel(ctx))
	for _, d := range m.Disks {
		if path.Dir(d.Path) != folder {
			continue
		}
		name := path.Base(d.Path)
		if !d.Made { // libvirt was asked to, and this host's sluice killed, or it has failed: is it ours?
			has, taken, err := f.Has(ctx, name)
			if err != nil {
				return err
			}
			if has && taken > emptyImage {
				a.Log.Warn().Str("guest", m.Guest).Str("disk", d.Path).Msg("a file is where a disk was to be made, with something in it, and is left there")
				continue
			}
		}
		if err := f.Remove(ctx, name); err != nil {
			return a.folderCause("removing "+d.Path, err)
		}
	}
	return nil
}

// emptyImage in bytes is more than an image without content takes.
const emptyImage = 1 << 20

// keepDisks leaves them for good: they may hold a guest. Who has to look is told, once.
func (a *Arrivals) keepDisks(m *madeDisks, why string) {
	log := a.logOf(m)
	if !m.Kept {
		m.Kept = true
		if err := a.disks.note(m); err != nil {
			log.Error().Err(err).Msg("that disks are to be kept can't be noted")
		}
	}
	if a.disks.tell(m) {
		log.Warn().Str("why", why).Msg("disks that were made for a guest are kept: remove them if it does not run here, and nothing else needs them")
	}
}

func (a *Arrivals) logOf(m *madeDisks) zerolog.Logger {
	return a.Log.With().Str("session", m.Session).Str("peer", m.Peer).Str("guest", m.Guest).Strs("disks", m.paths()).Logger()
}

// settlePoll is how often what is not settled is looked at, while there is any, and settleIdle how
// often whether there is: other processes of this host's sluice leave some, too.
const (
	settlePoll = 2 * time.Second
	settleIdle = 30 * time.Second
)

// SettleDisks sees to disks that were made for guests whose sessions are over, and to those that an
// earlier process has left, until ctx ends.
func (a *Arrivals) SettleDisks(ctx context.Context) {
	for {
		wait := settleIdle
		if a.settleAll(ctx) {
			wait = settlePoll
		}
		again := time.NewTimer(wait)
		select {
		case <-again.C:
		case <-a.disks.left:
		case <-ctx.Done():
			again.Stop()
			return
		}
		again.Stop()
	}
}

// settleAll settles what can be, and says whether there is more that will be.
func (a *Arrivals) settleAll(ctx context.Context) (more bool) {
	now := Arrivals{a.Now(), a.account}
	ctx, cancel := context.WithTimeout(ctx, now.Config.Limits.PrepareTimeout)
	defer cancel()
	all, err := a.disks.noted()
	if err != nil {
		a.Log.Error().Err(err).Msg("which disks were made for guests can't be read")
	}
	for _, m := range all {
		if a.disks.owns(m) {
			continue
		}
		leave, err := now.useFolders(ctx)
		if err != nil {
			return true
		}
		more = !now.settleLeft(ctx, m, false) && !m.Kept || more
		leave()
	}
	return more
}

// settleOf settles, before a guest comes again, whose disks are that were made for it before.
func (a *Arrivals) settleOf(ctx context.Context, uuid string) {
	all, _ := a.disks.noted() // an error is SettleDisks's to tell
	for _, m := range all {
		if m.UUID != uuid || m.Kept || a.disks.owns(m) {
			continue
		}
		if leave, err := a.useFolders(ctx); err == nil {
			if !a.settleLeft(ctx, m, true) && !a.disks.owns(m) && !m.Kept {
				a.keepDisks(m, "it comes again, and may run by them")
			}
			leave()
		}
	}
}

// settleLeft settles what a session has left whose process has ended, or has not been able to, and
// says whether it has; under useFolders. now says that somebody wants to have them made again.
func (a *Arrivals) settleLeft(ctx context.Context, m *madeDisks, now bool) bool {
	if a.disks.owns(m) {
		return false
	}
	if is, _ := a.Dir.Claim(claimOf(m)); !is {
		return false // another process has the session
	}
	defer a.Dir.Unclaim(claimOf(m))
	was := a.disks.read(m.name())
	if was == nil {
		return true
	}
	*m = *was
	uuid, err := virt.ParseUUID(m.UUID)
	if err != nil {
		return false
	}
	id, err := a.Libvirt.ID(ctx, uuid)
	if err != nil {
		return false
	}
	r, known := a.records.get(m.Peer, m.Session)
	patience := 4 * a.Config.Limits.GiveUpTimeout
	switch {
	case known && r.Verdict == Ran:
		return a.disks.forget(m) == nil
	case m.Kept || known && r.Verdict == Undecided || !known && m.Postcopy:
		if state, err := a.Libvirt.State(ctx, uuid); err == nil && m.ID != 0 && id == m.ID && (state.Running() || state.Paused()) {
			return a.disks.forget(m) == nil // it has come to run here by them
		}
		if now && a.allGone(ctx, m) {
			return a.disks.forget(m) == nil
		}
		if m.Kept || a.disks.since(m) > patience { // libvirt may be taking the guest over
			a.keepDisks(m, "this host's sluice ended before anybody could tell whether the guest runs here")
		}
		return false
	}
	var used *usedError
	switch err := a.removeDisks(ctx, m); {
	case err == nil || errors.As(err, &used):
		a.removed(m, err)
		return err == nil
	case errors.Is(err, errGuestThere) && (m.ID != 0 && id != m.ID || m.ID == 0 && a.disks.since(m) > patience):
		a.keepDisks(m, "it has come again by other means, and may run by them")
	}
	return false
}

// allGone says whether somebody has removed all of them.
func (a *Arrivals) allGone(ctx context.Context, m *madeDisks) bool {
	for _, d := range m.Disks {
		f, err := a.Libvirt.OpenImageFolder(ctx, path.Dir(d.Path))
		if err != nil {
			return false
		}
		has, _, err := f.Has(ctx, path.Base(d.Path))
		f.Close(context.WithoutCancel(ctx))
		if has || err != nil {
			return false
		}
	}
	return true
}
