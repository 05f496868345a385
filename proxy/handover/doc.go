// Package handover lets one process of a host's sluice follow another while that still has sessions
// under way. Both live then: the earlier one goes on with what it has, the later one serves what
// comes.
//
//	later                                     earlier
//	Find, Take        ── take ──────────────> sends its listening sockets, and goes on accepting
//	opens the rest
//	Serve             ── serve ─────────────> closes its listeners; what they have accepted goes on
//	                  <─ stopped ────────────
//	accepts
//	gives a socket up ── the others ──────> lets go of it
//	Pass              ── a connection ──────> serves it, if it has the session that it is about
//	Gone              <─ end ──────────────── has nothing any more, or was killed
//
// As long as the later process has not said serve it may fail, and nothing has changed. The earlier
// one keeps descriptors of the sockets to its end, so that there is something to take when the later
// one is killed. Processes find each other by sockets in a folder that nobody else may enter.
//
// It knows nothing of sessions, of guests, or of what is listened for.
package handover
