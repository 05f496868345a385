package tlsconf

// Policy is a GnuTLS priority string, parsed: the versions, suites and groups that a handshake
// may end on.
type Policy struct{}
