package control

// Offers is what a sluice can do, as it tells its peers. What an older one does not say is empty.
type Offers struct {
	Sluice        string    `json:"sluice" msgpack:"sluice"`     // version
	Protocol      string    `json:"protocol" msgpack:"protocol"` // between sluices, such as "sluice/1"
	Libvirt       string    `json:"libvirt" msgpack:"libvirt"`   // version; empty: it does not answer
	QEMU          string    `json:"qemu" msgpack:"qemu"`         // version
	Paths         []string  `json:"paths" msgpack:"paths"`       // of data channels with TLS 1.3, the best first
	Priority      string    `json:"priority" msgpack:"priority"` // GnuTLS priority string for the one who asks
	TLS           string    `json:"tls" msgpack:"tls"`           // Yes or No, for the one who asks, where a migration says neither
	RequireSecure bool      `json:"require_secure" msgpack:"require_secure"`
	Access        string    `json:"access" msgpack:"access"`                 // of libvirt clients of the one who asks
	WithoutSluice string    `json:"without_sluice" msgpack:"without_sluice"` // what it allows the one who asks, once that has no sluice
	Interception  string    `json:"interception" msgpack:"interception"`     // "on", "off", or "none": not configured
	NativeTLS     NativeTLS `json:"native_tls" msgpack:"native_tls"`
}

// NativeTLS says whether a host's QEMU can do TLS by itself, which libvirt
// leaves to it on VIR_MIGRATE_TLS.
type NativeTLS struct {
	Ready bool   `json:"ready" msgpack:"ready"`
	Dir   string `json:"dir" msgpack:"dir"` // of its certificates
	Text  string `json:"text" msgpack:"text"`
}

// What is found at a peer.
const (
	PeerSluice  = "sluice"
	PeerLibvirt = "libvirtd" // and no sluice
	PeerNothing = "nothing"  // that could be used: Text says what there is
)

// Ways of a guest to a peer, as things are. Besides these there are the values of without_sluice.
const (
	WaySluice = "sluice"
	WayNone   = "none"
)

// PeerView is what a host finds at one of its peers.
type PeerView struct {
	Name          string  `json:"name"`
	Address       string  `json:"address"`
	LibvirtURI    string  `json:"libvirt_uri"`
	WithoutSluice string  `json:"without_sluice"` // as configured here
	Found         string  `json:"found"`          // PeerSluice, PeerLibvirt or PeerNothing
	Way           string  `json:"way"`
	Code          string  `json:"code,omitempty"` // of what is wrong, if anything is, as in a Finding
	Text          string  `json:"text"`
	Libvirt       string  `json:"libvirt,omitempty"` // version, also of a host without sluice
	Offers        *Offers `json:"offers,omitempty"`  // nil without a sluice
}
