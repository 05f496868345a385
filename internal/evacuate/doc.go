// Package evacuate empties a host: it decides who goes where and in which order, and has the guests
// moved, so many at once, until each is settled.
//
//	e := evacuate.New(evacuate.Options{Source: "host-a", Hosts: hosts, Guests: guests, Parallel: 2})
//	show(e.Plan())
//	report := e.Run(ctx, stop, mover)
//
// It goes by the plans of each guest at each destination (control.Plan), and by what becomes of each
// migration. It makes no connection, and is no scheduler: it knows no more of destinations than what
// they have free, and moves nothing back.
//
// What holds whatever happens:
//   - A guest is moved by one migration at a time, and known by its UUID.
//   - A guest of which nobody can tell where it runs is never tried again.
//   - A guest is tried at most once at each destination.
package evacuate
