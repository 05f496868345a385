// Package host is what the parts of one host's daemon share: its configuration, log, run folder,
// libvirt, sessions, peers and limits.
//
// The daemon makes one Host; arrivals, direct channels, migrations, the gateway and interception
// each take it, and nothing else of the daemon. It holds no state of a migration's.
package host
