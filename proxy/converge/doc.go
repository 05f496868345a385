// Package converge decides what is done about a guest while it is moved, so that it moves within a
// goal: for how long it may stand still, by when it is to have moved, and what may be done to it.
//
//	s := converge.New(converge.Goal{Downtime: 300 * time.Millisecond, Postcopy: true})
//	for f := range figures {
//		if a := s.Step(f); a.Do != converge.Nothing && done(a) == nil {
//			s.Did(a)
//		}
//	}
//
// It goes by passes over memory. What is left when a pass begins is what the guest has changed during
// the one before it, so that a pass which begins with no less than earlier ones has gained nothing,
// however much it sent. That moment is also the one at which to act: later in the pass less of it
// is left to be sent, but the guest has changed other memory meanwhile, and nobody knows how much.
//
// The package has no clock and asks nobody: it is handed figures, and answers with an act and the
// reason for it. Whoever calls it does what it says by libvirt's calls, and none of these ends a
// guest at either host.
package converge
