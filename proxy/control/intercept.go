package control

// InterceptStatus is what the kernel does with connections of QEMU's own, and
// has counted since it was told to.
type InterceptStatus struct {
	On      bool   `json:"on"`
	Problem string `json:"problem,omitempty"` // why it is not on, or not as configured
	Port    int    `json:"port,omitempty"`    // where sluice takes them
	Ports   string `json:"ports,omitempty"`   // the migration ports, FIRST-LAST
	Refused uint64 `json:"refused"`           // attempts from other hosts

	PeersAlone bool   `json:"peers_alone"` // these ports of hosts that are no peers are closed to this host
	Elsewhere  uint64 `json:"elsewhere"`   // attempts to reach them that were refused

	Routes []InterceptRoute `json:"routes"`
}

// InterceptRoute is an address of which connections to it are led to sluice.
type InterceptRoute struct {
	Peer    string `json:"peer"`
	Address string `json:"address"`
	Led     uint64 `json:"led"`     // connections
	Refused uint64 `json:"refused"` // that something else kept from being led
}
