// Package gateway is libvirt's protocol as it passes through this daemon: it reads the calls of
// libvirt clients, gives the data of each migration a session of its own, and enforces what a
// caller from another host may do.
//
//	client ─ peers/NAME/libvirt.sock ─ source filter ══ libvirt channel ══ destination filter ─ libvirtd
//
// The source filter, at the client's host, opens a session for each Prepare that it sees
// (steeredSource) and names it in a parameter of the call. The destination filter puts this host's
// sockets into the call, and the source filter its own into the reply. The destination filter also
// decides what a peer or a client without a sluice may call; it trusts no source filter to have
// done so. A client that speaks with both hosts' libvirt has its guest's data led from the one to
// the other by a rendezvous.
//
// The daemon hands in connections: of local clients (ServeClients), of peers' clients (Accept), of
// clients without a sluice (ServeLibvirtClient). The packets themselves are internal/libvirtrpc's,
// the guests that come are package arrival's.
package gateway
