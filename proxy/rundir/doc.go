// Package rundir is the folder of one daemon's sockets: who may make, find and connect to what in
// it. All changes are made beneath it without following a link that leads out of it.
//
//	control.sock             for sluice's own command line
//	web.sock                 for browsers, and web.token to cancel by
//	peers/NAME/libvirt.sock  for libvirt clients of a peer
//	sessions/ID/*.sock       for QEMU, as long as the session
//	tunnels/                 for what the configuration has tunnels listen at
//	processes/               of each process, for the next one to find it
//	claims                   which guests each process has (Claim)
//	arrivals/                what became of guests that came
//	departures/              what the next daemon must know of guests that were leaving
//
// The daemon opens it; migrations, the gateway and arrivals make their sessions' folders in it. It
// serves no socket itself.
package rundir
