// Package history keeps what became of a host's sessions, over restarts of its sluice, within bounds
// of number, age and size.
//
//	s := history.Store{Folder: "/var/lib/sluice"}
//	err := s.Write(history.Change{Process: id, Ended: ended, Live: live}, bounds)
//	all, err := s.List(&control.HistoryQuery{Failed: true})
//
// The store is one file of bbolt's, a B+tree whose pages are copied when they are changed and synced
// before they count: what is killed in the middle of a write leaves the state before. It adds 0.3 MiB
// to the program. SQLite without cgo would add some 8 MB, and a virtual machine for SQL, to keep a
// thousand rows that are looked up by time and by one ID; a log of lines would need its own
// recovery, compaction and locks.
//
// Two processes of a host's sluice can live at once (docs/design-upgrade.md), and bbolt locks its
// file for as long as it is open. So each transaction opens it and closes it again: a millisecond,
// once a second while anything is under way. Sessions that live are in the file as well, under the
// process that has them, so that of one that is killed all but its last second is known: Adopt makes
// entries of them.
//
// Nothing here may disturb a migration. A disk that hangs keeps a caller for the store's patience; a file that is
// damaged is set aside, whichever way reading it fails, and a new one begun. The package knows
// nothing of how sessions run, and decides nothing about a guest.
package history
