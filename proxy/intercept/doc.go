// Package intercept carries the connections that the kernel redirects to this daemon instead of to
// another host's migration port, each in a session of its own, and connects those that come from
// peers to the QEMU that waits here.
//
//	closers, err := intercept.Listen(ctx, h)
//	handler, err := intercept.Accept(h, p, entry, log)
//
// The daemon calls both. The kernel's table is package rules'; what a migration through the gateway
// may send in clear is the gateway's to judge.
package intercept
