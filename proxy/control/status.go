package control

import "time"

// Status is what the daemon is doing.
type Status struct {
	Name     string    `json:"name"` // of this host, as its peers see it
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Listen   string    `json:"listen"`
	Libvirt  string    `json:"libvirt"` // the local socket
	Draining bool      `json:"draining"`

	Intercept *InterceptStatus `json:"intercept,omitempty"` // nil: not configured

	Configuration ConfigurationStatus `json:"configuration"`

	Certificates CertificateStatus `json:"certificates"`
	Priority     string            `json:"priority"` // GnuTLS priority string of this host's TLS
	AES          string            `json:"aes"`      // which AES-GCM is used on this processor, and why
	Confinement  *Confinement      `json:"confinement,omitempty"`

	Peers    []PeerStatus    `json:"peers"` // that are listed, or were found by a pattern
	Patterns []string        `json:"patterns,omitempty"`
	Sessions []SessionStatus `json:"sessions"` // live, oldest first
	Ended    []SessionStatus `json:"ended"`    // newest first, a bounded number
	Tunnels  []TunnelStatus  `json:"tunnels,omitempty"`

	Leaving []DepartureStatus `json:"leaving,omitempty"` // first asked first

	History HistoryStatus `json:"history"`

	// Earlier are the processes that the daemon has followed and that still have sessions, which are
	// among those above.
	Earlier []EarlierStatus `json:"earlier,omitempty"`
}

// EarlierStatus is one process that finishes what it has, while the daemon serves what comes.
type EarlierStatus struct {
	PID      int       `json:"pid"`
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Sessions int       `json:"sessions"`        // live
	Error    string    `json:"error,omitempty"` // why it could not be asked
}

// Confinement is what the daemon may do to its host.
type Confinement struct {
	UID          int      `json:"uid"`
	Capabilities []string `json:"capabilities"` // that it has kept, such as "cap_kill"

	Landlock      int    `json:"landlock"`                 // version of the kernel's interface; 0: files are not restricted
	LandlockError string `json:"landlock_error,omitempty"` // why not; empty with 0: the configuration says so

	Dumps        bool `json:"dumps"`         // it may leave a core dump
	ObserverUnit bool `json:"observer_unit"` // systemd's looks at other processes, not a child
}

// DepartureStatus is one guest whose destination has been asked to take it over, until it is
// settled what becomes of it.
type DepartureStatus struct {
	Guest   string    `json:"guest"`
	UUID    string    `json:"uuid"`
	Peer    string    `json:"peer"`
	Session string    `json:"session"`
	Asked   time.Time `json:"asked"`
	Stopped bool      `json:"stopped"`           // its QEMU here is, and can't be resumed by anybody
	Verdict string    `json:"verdict,omitempty"` // "runs" or "absent", at the destination; empty: not known
	Overdue bool      `json:"overdue"`           // nobody could tell in time; the destination is asked again and again
	Last    string    `json:"last"`              // what was heard last, in words
}

// PeerStatus is one peer.
type PeerStatus struct {
	Name    string   `json:"name"`
	Address string   `json:"address"`
	Names   []string `json:"names"` // rules its certificate must match
	Socket  string   `json:"socket"`

	Priority string `json:"priority"` // of connections with it
}

// CertificateStatus is this host's credentials in use.
type CertificateStatus struct {
	Source   string    `json:"source"` // a layout's name, "files" or "spiffe"
	Why      string    `json:"why"`    // why those, for a person
	Files    []string  `json:"files"`
	Loaded   time.Time `json:"loaded"`
	Expiry   []Expiry  `json:"expiry"`
	Warnings []string  `json:"warnings,omitempty"`

	ReloadErrors []ReloadError `json:"reload_errors,omitempty"` // what was not taken over, until it is
}

// Expiry is when a certificate in use ends.
type Expiry struct {
	What     string    `json:"what"` // "server", "client" or "ca"
	Subject  string    `json:"subject"`
	NotAfter time.Time `json:"not_after"`
	Seconds  int64     `json:"seconds_left"` // negative once it has ended
	Warn     bool      `json:"warn"`         // a fifth of its life is left, or less
}

// ReloadError is a change that was not taken over.
type ReloadError struct {
	At    time.Time `json:"at"`
	Error string    `json:"error"`
}

// Directions of a session, seen from this host.
const (
	Outgoing = "out"
	Incoming = "in"
)

// SessionStatus is one session, live or ended.
type SessionStatus struct {
	ID string `json:"id"`
	// Kind is "migration" for one of sluice's own, "steered" for one that a libvirt client runs,
	// "libvirt" for a client's connection to a peer's libvirtd, "client" for one from a host
	// without a sluice to this host's, "lead" for the word between two sluices about a guest of such
	// a client's, "intercept" for one connection of QEMU's own, "probe" for the noise by
	// which a plan measures the link.
	Kind      string    `json:"kind"`
	Direction string    `json:"direction"`
	Guest     string    `json:"guest,omitempty"`
	UUID      string    `json:"uuid,omitempty"`
	Peer      string    `json:"peer"` // of a "client": its table in the configuration
	Address   string    `json:"address"`
	Intended  string    `json:"intended,omitempty"` // address of an intercepted connection
	Phase     string    `json:"phase"`
	Started   time.Time `json:"started"`
	Ended     time.Time `json:"ended,omitzero"`

	Sent     uint64 `json:"sent"` // bytes to the peer, all channels
	Received uint64 `json:"received"`
	Rate     uint64 `json:"rate"` // bytes per second, both ways, over the last seconds; 0 once ended

	// Progress is how far it is, as far as this host knows: libvirt at the source has the figures,
	// and its sluice sends them. Nil without a guest's data, and once ended.
	Progress *Progress `json:"progress,omitempty"`

	TLS   string `json:"tls"` // version, empty: data in clear
	Suite string `json:"suite,omitempty"`
	Group string `json:"group,omitempty"` // of the key exchange, as priority strings call it
	Path  string `json:"path,omitempty"`

	// Who keeps the guest's memory and its disks secret on the way: "sluice",
	// "QEMU's own TLS", …, "nothing"; empty where there are none to carry.
	Memory string `json:"memory,omitempty"`
	Disks  string `json:"disks,omitempty"`

	DisksMade []string `json:"disks_made,omitempty"` // paths of those that the destination has made for it, and keeps

	InPlaceOf []string `json:"in_place_of,omitempty"` // URIs of the client's own, by which the data would have gone past the session

	Asked   *Asker   `json:"asked,omitempty"`   // who asked for it; nil: not known
	Options []string `json:"options,omitempty"` // of `sluice migrate` or virsh that were given

	Outcome  string          `json:"outcome,omitempty"`     // of an ended session: Moved, Failed, …
	Code     string          `json:"code,omitempty"`        // kind of the cause, such as "link"
	Cause    string          `json:"cause,omitempty"`       // why it failed
	Downtime time.Duration   `json:"downtime_ns,omitempty"` // of the guest, where this host's libvirt or the peer has said
	Channels []ChannelStatus `json:"channels"`
}

// ChannelStatus is one channel of a session.
type ChannelStatus struct {
	Name     string `json:"name"` // kind and number, such as memory-0
	Kind     string `json:"kind"`
	Path     string `json:"path"`
	TLS      string `json:"tls,omitempty"`
	Suite    string `json:"suite,omitempty"`
	Group    string `json:"group,omitempty"`
	Sent     uint64 `json:"sent"`
	Received uint64 `json:"received"`
	Open     bool   `json:"open"`
}
