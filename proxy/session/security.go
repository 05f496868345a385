package session

// What keeps a migration's data secret on its way, as status shows it.
const (
	BySluice       = "sluice"
	ByTunnel       = "sluice (libvirt's tunnel)"
	ByQEMU         = "QEMU's own TLS"
	ByQEMUThere    = "sluice, with QEMU's own TLS at the other host" // which has no sluice
	ByInterception = "sluice (interception)"                         // of connections that QEMU makes by itself
	ByNothing      = "nothing"                                       // it goes in clear
)
