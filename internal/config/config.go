package config

import (
	"time"

	"github.com/virt-sluice/sluice/tlsconf"
)

// Config is the whole configuration of one daemon. A zero or absent value means the default, which
// Load has filled in; a negative number means no limit where a limit may be off.
type Config struct {
	Name          string `toml:"name"`           // this host, in messages; default: the host name
	Listen        string `toml:"listen"`         // HOST:PORT for peers; default ":16514"
	RunDir        string `toml:"run_dir"`        // sockets live here; default /run/sluice
	StateDir      string `toml:"state_dir"`      // history lies here, and outlives a boot; default /var/lib/sluice with the default run_dir, else none. Load makes StateOff empty
	LibvirtSocket string `toml:"libvirt_socket"` // empty: libvirtd's or virtqemud's, whichever listens
	Metrics       string `toml:"metrics"`        // HOST:PORT for Prometheus; default: none
	QEMUPIDs      string `toml:"qemu_pids"`      // folder of libvirt's pid files of QEMU; default /run/libvirt/qemu
	QEMUUser      string `toml:"qemu_user"`      // whom libvirt runs QEMU as; default: the first of libvirt-qemu, qemu, root that exists

	// Users (names or numbers) whose processes may use the local sockets. Default: root alone.
	Users []string `toml:"users"`

	// Landlock restricts the daemon to the files that it needs: LandlockAuto, where the kernel can,
	// or LandlockOff. Default LandlockAuto.
	Landlock string `toml:"landlock"`

	RequireSecure *bool  `toml:"require_secure"` // refuse what would go in clear; default true
	TLSDefault    string `toml:"tls"`            // "yes" or "no" where a migration says neither; default "yes"
	MigrateURI    string `toml:"migrate_uri"`    // what becomes of a URI to the peer of the user's own: URIReplace or URIRefuse; default URIReplace

	// Priority is a GnuTLS priority string. Default: "@LIBVIRT,SYSTEM" where
	// GnuTLS's system file has one of the two, else "NORMAL". It stays empty if
	// it is not set, since the file may change.
	Priority string `toml:"priority"`

	// AllowedDNs is libvirt's tls_allowed_dn_list: globs for the distinguished
	// names of peers that connect. nil: [peers] alone says; empty: no one.
	AllowedDNs []string `toml:"tls_allowed_dn_list"`

	Certificates Certificates    `toml:"certificates"`
	KernelTLS    KernelTLS       `toml:"kernel_tls"`
	Limits       Limits          `toml:"limits"`
	Telemetry    Telemetry       `toml:"telemetry"`
	Peers        map[string]Peer `toml:"peers"`     // those that are listed, see Patterns
	Intercept    *Intercept      `toml:"intercept"` // nil: nothing is intercepted

	Web Web `toml:"web"`

	Auto Auto `toml:"auto"`

	// Clients may use this host's libvirt over TLS, by a name of the site's
	// choice for each. Nobody else may but peers.
	Clients map[string]Client `toml:"clients"`

	// Accept is what guests that come may ask for.
	Accept Accept `toml:"accept"`

	Tunnels []Tunnel `toml:"tunnel"` // the relay for other connections than migrations'

	patterns map[string]Peer // those tables of peers that are for a domain
	policies *Policies       // the priorities, as they were parsed when this was

	files []string // that it was read from
	sum   Sum      // of those
}

// Secure says whether what would go in clear is refused.
func (c *Config) Secure() bool { return c.RequireSecure == nil || *c.RequireSecure }

// Certificates names this host's credentials. With none set the layouts of
// libvirt and QEMU are searched.
type Certificates struct {
	CA   string `toml:"ca"` // PEM files; all three or none
	Cert string `toml:"cert"`
	Key  string `toml:"key"`
	CRL  string `toml:"crl"`

	StaleCRL string `toml:"stale_crl"` // what a list that has run out does: StaleRefuse or StaleAccept; default StaleRefuse

	Dir    string `toml:"dir"`    // a folder in Layout instead of the files
	Layout string `toml:"layout"` // a name in package tlsconf/layout; default: the first that exists

	SPIFFE string `toml:"spiffe"` // a Workload API's address, such as "unix:///run/spire/agent/api.sock", instead of files
	role   tlsconf.Role

	Reload time.Duration `toml:"reload"` // how often files are looked at although nothing was notified; default 1m, negative: never
}

// As is the same for certificates that are used in one role alone.
func (c Certificates) As(r tlsconf.Role) Certificates {
	c.role = r
	return c
}

// Given says whether any of the keys that name credentials is set.
func (c Certificates) Given() bool {
	return c.CA+c.Cert+c.Key+c.CRL+c.Dir+c.Layout+c.SPIFFE+c.StaleCRL != ""
}

// What a revocation list that has run out does to the peers of its authority.
const (
	StaleRefuse = "refuse"
	StaleAccept = "accept" // lets them in, but for those whom it names
)

// KernelTLS says which directions of a channel may be the kernel's.
type KernelTLS struct {
	Send    string `toml:"send"`    // KernelAuto or KernelOff; default KernelAuto
	Receive string `toml:"receive"` // the same
}

// Limits bound what sessions may take.
type Limits struct {
	Sessions         int           `toml:"sessions"`          // at once, in and out; default 200
	Channels         int           `toml:"channels"`          // of one session; default 320
	PeerSessions     int           `toml:"peer_sessions"`     // at once, that one peer has opened or asked for; default 100
	PeerChannels     int           `toml:"peer_channels"`     // at once, of those; default 1024
	PeerAsks         int           `toml:"peer_asks"`         // questions at once of one peer; default 8
	PeerMemory       int64         `toml:"peer_memory"`       // MiB that hold what one peer has sent; default 128
	UserConnections  int           `toml:"user_connections"`  // at once, of one user but root to the local sockets; default 256
	HandshakeTimeout time.Duration `toml:"handshake_timeout"` // dial, TLS and first frames of a channel; default 10s
	IdleTimeout      time.Duration `toml:"idle_timeout"`      // silence of the peer on the control channel; default 30s
	SessionTimeout   time.Duration `toml:"session_timeout"`   // length of a session; default 24h, negative: none
	PrepareTimeout   time.Duration `toml:"prepare_timeout"`   // the destination's libvirt starting QEMU; default 60s
	FinishTimeout    time.Duration `toml:"finish_timeout"`    // the destination taking over, without post-copy; default 60s
	GiveUpTimeout    time.Duration `toml:"give_up_timeout"`   // libvirt giving up a half-made guest, or saying how one is; default 15s
	DrainTimeout     time.Duration `toml:"drain_timeout"`     // live sessions after SIGTERM; default 10m
	SessionBytes     int64         `toml:"session_bytes"`     // carried by one session, both ways; default none
	SessionBandwidth int64         `toml:"session_bandwidth"` // MiB/s each way of one session; default none
	TotalBandwidth   int64         `toml:"total_bandwidth"`   // MiB/s each way of all sessions; default none
	ProbeSize        int64         `toml:"probe_size"`        // MiB by which "sluice plan" measures a link, at either end; default 16
	ProbeTime        time.Duration `toml:"probe_time"`        // for which it does; default 1s
	HistorySessions  int           `toml:"history_sessions"`  // that history keeps; default 1000
	HistoryDays      int           `toml:"history_days"`      // for which it does; default 90
}

// Peer is another host's sluice, or all those of a domain.
type Peer struct {
	Address string   `toml:"address"` // HOST[:PORT]; default: its name, port 16514
	Names   []string `toml:"names"`   // rules for the names in its certificate; default: its name
	Aliases []string `toml:"aliases"` // other names and addresses by which it is called here
	TLS     string   `toml:"tls"`     // "yes" or "no" instead of the host's default
	Access  string   `toml:"access"`  // what its clients may do with this host's libvirt; default AccessMigrate

	Priority string `toml:"priority"` // instead of the host's

	WithoutSluice string `toml:"without_sluice"` // how guests may go and come while it has no sluice: WithoutNo, WithoutNativeTLS or WithoutPlain; default WithoutNo
	LibvirtURI    string `toml:"libvirt_uri"`    // of its libvirtd, for that; default qemu+tls:// and the host of Address

	// Intercept are addresses and names at which other hosts' libvirt and QEMU
	// reach its migration ports. Default: the host of Address, or none where
	// WithoutSluice allows anything; empty: none.
	Intercept []string `toml:"intercept"`

	Accept *Accept `toml:"accept"` // what guests that it brings may ask for, where that differs from the host's

	Hosts []string `toml:"hosts"` // of a pattern: those that are peers from the start
	table string   // that it goes by: its name, or a pattern
}
