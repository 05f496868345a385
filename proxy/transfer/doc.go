// Package transfer is how a migration's data is to go, as a libvirt client's flags and parameters
// say it: through a session, by libvirt's tunnel, by QEMU's own TLS, or in clear.
//
//	t, err := transfer.Of(call.Flags, call.Params)
//
// The gateway decides by it, and status shows it. It moves nothing.
package transfer
