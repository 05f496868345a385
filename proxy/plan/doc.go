// Package plan finds out, before a migration, whether the guest can go to its destination, and says
// why not, each reason with what to do. It changes nothing on either host.
//
//	p, err := plan.Run(ctx, host, req, report)
//
// The source knows what libvirt and the guest say here. What only the destination can know it is
// asked for by one question outside of any session (Question), which AnswerPeer answers: about a guest
// of this description, and no more. A peer learns of files, networks and secrets only where the
// configuration would let its guests have them, and by far less than what a migration of such a
// guest would show it.
//
// The check of the way to the destination is internal/check's, and comes with report.
package plan
