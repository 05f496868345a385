package control

import "time"

// TunnelStatus is one [[tunnel]] of the configuration.
type TunnelStatus struct {
	Name    string `json:"name"`
	Listen  string `json:"listen"`  // as it was written
	Address string `json:"address"` // where it listens, with the port that the kernel chose
	To      string `json:"to"`      // as it was written
	Over    bool   `json:"over"`    // it takes no more connections, and has none

	TLS         string   `json:"tls"`           // as it was written: Yes, No or Unset
	TLSInEffect string   `json:"tls_in_effect"` // Yes or No
	TLSWhy      string   `json:"tls_why"`       // for a person
	TLSSides    []string `json:"tls_sides,omitempty"`

	ServerName   string             `json:"server_name,omitempty"`  // that the target's certificate must have
	Allow        []string           `json:"allow,omitempty"`        // rules, one of which a client's certificate must match
	Priority     string             `json:"priority,omitempty"`     // of its TLS
	Certificates string             `json:"certificates,omitempty"` // in use, and why those
	Own          *CertificateStatus `json:"own_certificates,omitempty"`

	Done     uint64 `json:"done"` // connections that ended in order
	Failed   uint64 `json:"failed"`
	Sent     uint64 `json:"sent"` // bytes from clients to the target, of all connections
	Received uint64 `json:"received"`

	Connections []TunnelConnection `json:"connections"` // under way, oldest first
	Ended       []TunnelConnection `json:"ended"`       // newest first, a bounded number
}

// TunnelConnection is one connection of a tunnel, under way or ended.
type TunnelConnection struct {
	Number   int64     `json:"number"`
	From     string    `json:"from"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended,omitzero"`
	Path     string    `json:"path,omitempty"`
	TLS      string    `json:"tls,omitempty"`
	Suite    string    `json:"suite,omitempty"`
	Sent     uint64    `json:"sent"`
	Received uint64    `json:"received"`
	Command  string    `json:"command,omitempty"` // how it ended, where a side is one
	Cause    string    `json:"cause,omitempty"`   // why it failed
}
