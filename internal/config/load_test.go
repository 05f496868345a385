package config

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// same compares all but the policies, which want has as strings.
func same(t *testing.T, got, want *Config) {
	t.Helper()
	policies, err := want.Policies()
	if err != nil || got.policies == nil || got.policies.Host.Source != policies.Host.Source || len(got.policies.Peers) != len(want.Peers) {
		t.Errorf("policies %+v, want %+v, %v", got.policies, policies, err)
	}
	with := *want
	for name, p := range with.Peers {
		p.table = name
		with.Peers[name] = p
	}
	with.policies, with.files, with.sum = got.policies, got.files, got.sum
	if !reflect.DeepEqual(got, &with) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDefaults(t *testing.T) {
	cfg, err := Parse("empty.toml", nil)
	if err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	secure := true
	want := &Config{
		Name: host, Listen: ":16514", RunDir: "/run/sluice", StateDir: "/var/lib/sluice",
		QEMUPIDs: "/run/libvirt/qemu", QEMUUser: cfg.QEMUUser, // as this machine has it
		RequireSecure: &secure, TLSDefault: "yes", MigrateURI: "replace",
		Certificates: Certificates{Reload: time.Minute},
		KernelTLS:    KernelTLS{Send: KernelAuto, Receive: KernelAuto},
		Landlock:     LandlockAuto,
		Web:          Web{Listen: WebUnix},
		Auto:         Auto{MaxDowntime: "300ms"},
		Limits: Limits{
			Sessions: 200, Channels: 320, PeerSessions: 100, PeerChannels: 1024, PeerAsks: 8, PeerMemory: 128, UserConnections: 256, HistorySessions: 1000, HistoryDays: 90,
			HandshakeTimeout: 10 * time.Second, IdleTimeout: 30 * time.Second, SessionTimeout: 24 * time.Hour,
			PrepareTimeout: time.Minute, FinishTimeout: time.Minute, GiveUpTimeout: 15 * time.Second, DrainTimeout: 10 * time.Minute,
			SessionBytes: None, SessionBandwidth: None, TotalBandwidth: None, ProbeSize: 16, ProbeTime: time.Second,
		},
	}
	same(t, cfg, want)
	if cfg.QEMUUser == "" {
		t.Errorf("not filled in: %+v", cfg)
	}
}

func TestEveryKey(t *testing.T) {
	const text = `
name = "left"
landlock = "off"
listen = "[2001:db8::1]:17000"
run_dir = "/run/sluice-2/"
libvirt_socket = "/run/libvirt/virtqemud-sock"
qemu_pids = "/run/libvirt/qemu-2/"
qemu_user = "root"
metrics = "127.0.0.1:16515"
users = ["0", "root", "4242"]
require_secure = false
tls = "no"
migrate_uri = "refuse"
priority = "NORMAL:-VERS-TLS1.1"
tls_allowed_dn_list = ["C=GB,O=Site,*"]
[auto]
always = true
max_downtime = "1s"
deadline = "30s/GiB"
allow = ["slow", "pause"]
[web]
listen = "192.0.2.1:16517"
names = ["operator-*"]
[certificates]
reload = "5m"
ca = "/etc/pki/CA/cacert.pem"
cert = "/etc/pki/libvirt/servercert.pem"
key = "/etc/pki/libvirt/private/serverkey.pem"
crl = "/etc/pki/CA/cacrl.pem"
stale_crl = "accept"
[kernel_tls]
receive = "off"

[limits]
sessions = 10
channels = 8
peer_sessions = 5
peer_channels = 40
peer_asks = 2
peer_memory = 64
handshake_timeout = "500ms"
idle_timeout = "5s"
session_timeout = "-1s"
prepare_timeout = "2m"
finish_timeout = "3m"
drain_timeout = "1h"
probe_time = "3s"
probe_size = 64
session_bytes = 1_000_000_000_000
session_bandwidth = 100
total_bandwidth = -7
[peers."host-b.example.org"]
[peers.c]
address = "192.0.2.3"
names = ["host-c.example.org", "spiffe://site/kvm/c"]
tls = "yes"
priority = "SECURE256"
[peers.d]
address = "2001:db8::4"
[peers.e]
address = "[2001:db8::5]"
[peers.f]
address = "f.example.org:1"
intercept = ["192.0.2.6", "2001:db8::6"]
[peers.g]
without_sluice = "plain"
libvirt_uri = "qemu+tcp://192.0.2.7:16600/system"
intercept = []
[intercept]
port = 17001
ports = "50000-50100"
`
	cfg, err := Parse("sluice.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	secure := false
	want := &Config{
		Name: "left", Listen: "[2001:db8::1]:17000", RunDir: "/run/sluice-2", LibvirtSocket: "/run/libvirt/virtqemud-sock", QEMUPIDs: "/run/libvirt/qemu-2",
		QEMUUser: "root", Metrics: "127.0.0.1:16515", Users: []string{"0", "root", "4242"}, RequireSecure: &secure, TLSDefault: "no", MigrateURI: "refuse",
		Web:      Web{Listen: "192.0.2.1:16517", Names: []string{"operator-*"}},
		Auto:     Auto{Always: true, MaxDowntime: "1s", Deadline: "30s/GiB", Allow: []string{"slow", "pause"}},
		Priority: "NORMAL:-VERS-TLS1.1", AllowedDNs: []string{"C=GB,O=Site,*"},
		Certificates: Certificates{CA: "/etc/pki/CA/cacert.pem", Cert: "/etc/pki/libvirt/servercert.pem", Key: "/etc/pki/libvirt/private/serverkey.pem", CRL: "/etc/pki/CA/cacrl.pem", StaleCRL: StaleAccept, Reload: 5 * time.Minute},
		KernelTLS:    KernelTLS{Send: "auto", Receive: "off"},
		Landlock:     "off",
		Limits: Limits{
			Sessions: 10, Channels: 8, PeerSessions: 5, PeerChannels: 40, PeerAsks: 2, PeerMemory: 64, UserConnections: 256, HistorySessions: 1000, HistoryDays: 90,
			HandshakeTimeout: 500 * time.Millisecond, IdleTimeout: 5 * time.Second, SessionTimeout: None,
			PrepareTimeout: 2 * time.Minute, FinishTimeout: 3 * time.Minute, GiveUpTimeout: 15 * time.Second, DrainTimeout: time.Hour,
			SessionBytes: 1e12, SessionBandwidth: 100, TotalBandwidth: None, ProbeSize: 64, ProbeTime: 3 * time.Second,
		},
		Peers: map[string]Peer{
			"host-b.example.org": {Address: "host-b.example.org:16514", Names: []string{"host-b.example.org"}, WithoutSluice: "no", LibvirtURI: "qemu+tls://host-b.example.org/system"},
			"c":                  {Address: "192.0.2.3:16514", Names: []string{"host-c.example.org", "spiffe://site/kvm/c"}, TLS: "yes", Priority: "SECURE256", WithoutSluice: "no", LibvirtURI: "qemu+tls://192.0.2.3/system"},
			"d":                  {Address: "[2001:db8::4]:16514", Names: []string{"d"}, WithoutSluice: "no", LibvirtURI: "qemu+tls://[2001:db8::4]/system"},
			"e":                  {Address: "[2001:db8::5]:16514", Names: []string{"e"}, WithoutSluice: "no", LibvirtURI: "qemu+tls://[2001:db8::5]/system"},
			"f":                  {Address: "f.example.org:1", Names: []string{"f"}, Intercept: []string{"192.0.2.6", "2001:db8::6"}, WithoutSluice: "no", LibvirtURI: "qemu+tls://f.example.org/system"},
			"g":                  {Address: "g:16514", Names: []string{"g"}, Intercept: []string{}, WithoutSluice: "plain", LibvirtURI: "qemu+tcp://192.0.2.7:16600/system"},
		},
		Intercept: &Intercept{Port: 17001, Ports: "50000-50100"},
	}
	same(t, cfg, want)
	uids, err := cfg.UIDs()
	if err != nil || !reflect.DeepEqual(uids, []uint32{0, 4242}) {
		t.Errorf("uids %v, %v", uids, err)
	}
	if uid, gid, err := cfg.QEMU(); uid != 0 || gid != 0 || err != nil {
		t.Errorf("qemu user %d:%d, %v", uid, gid, err)
	}
}

// Every key of the file is known to unknownKey, and those that the document
// shadows are those of type time.Duration.
func TestDocumentMirrorsConfig(t *testing.T) {
	limits := reflect.TypeFor[Limits]()
	shadow := reflect.TypeFor[documentLimits]()
	for i := range limits.NumField() {
		f := limits.Field(i)
		got, ok := member(shadow, f.Tag.Get("toml"))
		want := f.Type
		if want == reflect.TypeFor[time.Duration]() {
			want = reflect.TypeFor[durationText]()
		}
		if !ok || got != want {
			t.Errorf("limits.%s is decoded as %v, want %v", f.Tag.Get("toml"), got, want)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "absent.toml")); err == nil || !strings.Contains(err.Error(), "--config") {
		t.Errorf("absent: %v", err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a folder: %v", err)
	}
	large := filepath.Join(dir, "large.toml")
	if err := os.WriteFile(large, []byte(strings.Repeat("#\n", maxFile/2+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(large); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("large: %v", err)
	}
	good := filepath.Join(dir, "good.toml")
	if err := os.WriteFile(good, []byte("[peers.host-b]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg, err := Load(good); err != nil || cfg.Peers["host-b"].Address != "host-b:16514" {
		t.Errorf("good: %+v, %v", cfg, err)
	}
}

// A revocation list may be an addition to a layout, whose files are found.
func TestListAlone(t *testing.T) {
	cfg, err := Parse("l.toml", []byte("[certificates]\ncrl = '/var/lib/site/crl.pem'\ndir = '/etc/pki'\nlayout = 'libvirt'\n"))
	if err != nil || cfg.Certificates.CRL != "/var/lib/site/crl.pem" || cfg.Certificates.Layout != "libvirt" {
		t.Errorf("%+v, %v", cfg, err)
	}
}

func TestSeveralFaultsAtOnce(t *testing.T) {
	_, err := Parse("s.toml", []byte("nam = 'x'\nlisten = 'y'\ntls = 'z'\n[limits]\nidle_timeout = '30'\nsession = 1\n"))
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 5 {
		t.Fatalf("got %v, want five faults", err)
	}
	lines := map[string]int{}
	for _, e := range joined.Unwrap() {
		var f *Fault
		if !errors.As(e, &f) {
			t.Fatalf("%v is no Fault", e)
		}
		lines[f.Key] = f.Line
	}
	want := map[string]int{"nam": 1, "listen": 2, "tls": 3, "limits.idle_timeout": 5, "limits.session": 6}
	if !reflect.DeepEqual(lines, want) {
		t.Errorf("lines %v, want %v", lines, want)
	}
}

func TestQEMUOfANumberWithoutUser(t *testing.T) {
	if _, err := user.LookupId("4242"); err == nil {
		t.Fatal("this test needs uid 4242 to be nobody's")
	}
	if uid, gid, err := (&Config{QEMUUser: "4242"}).QEMU(); uid != 4242 || gid != 4242 || err != nil {
		t.Errorf("%d:%d, %v", uid, gid, err)
	}
	if _, _, err := new(Config).QEMU(); err != nil {
		t.Errorf("zero value: %v", err)
	}
	if _, err := (&Config{Users: []string{"no-such-user"}}).UIDs(); err == nil {
		t.Error("an unknown user is taken")
	}
}
