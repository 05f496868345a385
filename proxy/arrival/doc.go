// Package arrival is the life of a guest that comes to this host: libvirt's Prepare and Finish, the
// sockets where its data comes in, and what is known of it afterwards.
//
//	a := arrival.New(h)
//	handler, started, err := a.Accept(ctx, info, entry, log)
//	reply, err := a.Outcome(ctx, peer, &ask, over)
//
// A guest comes in one of three forms: with a session of `sluice migrate`, whose calls are answered
// here (Migration); with a steered session, while a libvirt client makes the calls (Steered); or
// for a client that takes it from its source (Pull). The daemon hands sessions in, the gateway
// drives the last two, and sources ask for the outcome. How a guest leaves is the migration
// package's.
package arrival
