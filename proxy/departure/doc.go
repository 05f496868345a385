// Package departure decides at a guest's source whether the guest may go on there, from the moment
// in which its destination is asked to take it over (libvirt's Finish) until that is certain.
//
//	d, err := table.Begin(ctx, departure.Move{UUID: uuid, Session: id, Peer: "host-b", …})
//	// err: Finish must not go on. Else it does now, and one of these follows:
//	d.Answered(departure.Runs)
//	verdict := d.Await(ctx) // the answer was lost
//	d.CallerGone()          // at last
//
// libvirt at the source takes the loss of Finish's answer for a failure and resumes the guest,
// though it may run at the destination. So its QEMU is stopped (SIGSTOP) before Finish goes on: a
// fence, which holds whatever becomes of libvirtd, of the link, of sluice itself. State.Next is the
// whole decision, a pure function; one goroutine per guest carries it out; a file in the run folder
// lets the next daemon go on with it. docs/design-finish.md says who knows what, and when.
//
// It runs none of libvirt's steps, and knows neither sessions nor libvirt's packets: package
// migration and the gateway do, and tell it.
package departure
