package config

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// Bad input, one fault each: where it is said to be, and what is said.
func TestFaults(t *testing.T) {
	long := strings.Repeat("x", 200)
	for _, c := range []struct{ name, text, where, says string }{
		// The file.
		{"syntax", "listen = ", "f.toml:1:9", "expected value"},
		{"unclosed", "[limits\n", "f.toml:1:", "expected"},
		{"twice", "name = 'a'\nname = 'b'\n", "f.toml:2:1: name", "already"},
		{"not UTF-8", "name = \"\xff\"", "f.toml:1:9", "UTF-8"},
		{"unknown key", "\nlisen = ':1'", "f.toml:2: lisen", "listen"},
		{"unknown table", "[limit]\nsessions = 1", "f.toml:1: limit", "limits"},
		{"unknown key in a table", "[limits]\n\nsession = 1", "f.toml:3: limits.session", "sessions"},
		{"unknown key of a peer", "[peers.b]\nadress = 'b'", "f.toml:2: peers.b.adress", "allowed in [peers.b]: accept, access, address, aliases, hosts, intercept, libvirt_uri, names, priority, tls, without_sluice"},
		{"unknown key inline", "peers.b = {adress = 'b'}", "f.toml:1: peers.b.adress", "address"},

		// Types.
		{"number for text", "name = 7", "f.toml:1:8: name", "text in quotes"},
		{"text for number", "[limits]\nsessions = '7'", "f.toml:2:12: limits.sessions", "whole number without quotes"},
		{"float for number", "[limits]\nsessions = 7.5", "f.toml:2:12: limits.sessions", "whole number"},
		{"kernel TLS", "[kernel_tls]\nsend = \"on\"", "f.toml:2: kernel_tls.send", `"on" must be "auto" or "off"`},
		{"too many digits", "[limits]\nsession_bytes = 99999999999999999999", "f.toml:2:17: limits.session_bytes", "too large"},
		{"text for boolean", "require_secure = 'yes'", "f.toml:1:18: require_secure", "true or false"},
		{"text for list", "users = 'nova'", "f.toml:1:9: users", "list of texts"},
		{"numbers in list", "users = [107]", "f.toml:1:10: users", "texts"},
		{"number for duration", "[limits]\nidle_timeout = 30", "f.toml:2:16: limits.idle_timeout", `"30s"`},
		{"text for table", "peers = 'b'", "f.toml:1:9: peers", "[table]"},
		{"array of tables", "[[peers]]\naddress = 'b'", "f.toml:1:3: peers", "[table]"},
		{"text for peer", "[peers]\nb = 'host-b'", "f.toml:2:5: peers.b", "[table]"},

		// The host.
		{"name", "name = \"a\\u001b\"", "f.toml:1: name", "printable"},
		{"name too long", "name = '" + long + long + "'", "f.toml:1: name", "255"},
		{"listen without port", "listen = '192.0.2.1'", "f.toml:1: listen", "HOST:PORT"},
		{"listen on a bad host", "listen = 'a b:1'", "f.toml:1: listen", "neither"},
		{"listen on a bad port", "listen = ':65536'", "f.toml:1: listen", "65535"},
		{"listen on a named port", "listen = ':https'", "f.toml:1: listen", "number"},
		{"relative run_dir", "run_dir = 'run'", "f.toml:1: run_dir", "absolute"},
		{"relative state_dir", "state_dir = 'state'", "f.toml:1: state_dir", "absolute"},
		{"root as state_dir", "state_dir = '/'", "f.toml:1: state_dir", "\"off\""},
		{"run_dir as state_dir", "state_dir = '/run/a/'\nrun_dir = '/run/a'", "f.toml:1: state_dir", "of sluice's own"},
		{"no history_days", "[limits]\nhistory_days = -1", "f.toml:2: limits.history_days", "from 1 to 3650"},
		{"root as run_dir", "run_dir = '/'", "f.toml:1: run_dir", "of sluice's own"},
		{"run_dir that ends a URI", "run_dir = '/run/a?b'", "f.toml:1: run_dir", "URIs"},
		{"run_dir too long", "run_dir = '/run/" + long + "'", "f.toml:1: run_dir", "107"},
		{"libvirt socket relative", "libvirt_socket = 'libvirt-sock'", "f.toml:1: libvirt_socket", "absolute"},
		{"libvirt socket too long", "libvirt_socket = '/" + long + "'", "f.toml:1: libvirt_socket", "107"},
		{"unknown user", "users = ['root', 'no-such-user']", "f.toml:1: users", "no-such-user"},
		{"uid -1", "users = ['4294967295']", "f.toml:1: users", "4294967295"},
		{"empty user", "users = ['']", "f.toml:1: users", "no user"},
		{"unknown QEMU user", "qemu_user = 'no-such-user'", "f.toml:1: qemu_user", "qemu.conf"},

		{"collector without a scheme", "[telemetry]\notlp = '127.0.0.1:4318'", "f.toml:2: telemetry.otlp", "http://127.0.0.1:4318"},
		{"collector by gRPC", "[telemetry]\notlp = 'grpc://127.0.0.1:4317'", "f.toml:2: telemetry.otlp", "https://HOST:PORT"},
		{"collector with a password", "[telemetry]\notlp = 'http://a:b@127.0.0.1:4318'", "f.toml:2: telemetry.otlp", "OTEL_EXPORTER_OTLP_HEADERS"},

		// TLS.
		{"tls", "tls = 'maybe'", "f.toml:1: tls", `"yes" or "no"`},
		{"clear by default", "tls = 'no'", "f.toml:1: tls", "require_secure"},
		{"clear although required", "require_secure = true\ntls = 'no'", "f.toml:2: tls", "require_secure"},
		{"clear to one peer", "[peers.b]\ntls = 'no'", "f.toml:2: peers.b.tls", "require_secure"},
		{"peer's tls", "[peers.b]\ntls = 'on'", "f.toml:2: peers.b.tls", `"yes" or "no"`},
		{"what becomes of a URI", "migrate_uri = 'keep'", "f.toml:1: migrate_uri", `"replace" or "refuse"`},
		{"alias that is a peer", "[peers.b]\n[peers.c]\naliases = ['B']", "f.toml:3: peers.c.aliases", `already stands for peer "b"`},
		{"address of two peers", "[peers.b]\naliases = ['[2001:db8::2]']\n[peers.c]\naliases = ['2001:db8:0::2']", "f.toml:4: peers.c.aliases", `already stands for peer "b"`},
		{"alias that leaves the folder", "[peers.b]\naliases = ['../b']", "f.toml:2: peers.b.aliases", "may not start with"},
		{"two files of three", "[certificates]\nca = '/a'\ncert = '/b'", "f.toml:1: certificates", "all three"},
		{"files and folder", "[certificates]\nca = '/a'\ncert = '/b'\nkey = '/c'\ndir = '/d'", "f.toml:1: certificates", "not both"},
		{"files and layout", "[certificates]\nca = '/a'\ncert = '/b'\nkey = '/c'\nlayout = 'qemu'", "f.toml:1: certificates", "not both"},
		{"relative file", "[certificates]\ndir = 'pki'", "f.toml:2: certificates.dir", "absolute"},
		{"stale list", "[certificates]\nstale_crl = 'ignore'", "f.toml:2: certificates.stale_crl", `"refuse" or "accept"`},
		{"layout", "[certificates]\nlayout = 'openssl'", "f.toml:2: certificates.layout", "cloudstack"},

		{"reload without unit", "[certificates]\nreload = 60", "f.toml:2:10: certificates.reload", `"30s"`},
		{"reload too often", "[certificates]\nreload = '1ms'", "f.toml:2: certificates.reload", `at least "1s"`},
		{"Workload API by name", "[certificates]\nspiffe = 'tcp://spire:1'", "f.toml:2: certificates.spiffe", "tcp://IP:PORT"},
		{"Workload API without scheme", "[certificates]\nspiffe = '/run/api.sock'", "f.toml:2: certificates.spiffe", "unix:///PATH"},
		{"Workload API and files", "[certificates]\nspiffe = 'unix:///run/api.sock'\nlayout = 'qemu'", "f.toml:2: certificates.spiffe", "not both"},
		{"priority", "priority = 'NORMAL:-AES-182-GCM'", "f.toml:1: priority", `column 8: "AES-182-GCM" is no version, cipher, MAC, key exchange, group, curve or signature algorithm; did you mean "-AES-128-GCM"?`},
		{"priority that leaves nothing", "priority = 'SECURE256:-VERS-ALL'", "f.toml:1: priority", `leaves nothing`},
		{"priority of a peer", "[peers.b]\npriority = 'NORMALS'", "f.toml:2: peers.b.priority", `did you mean "NORMAL"?`},
		{"keyword without system file", "priority = '@NOBODY'", "f.toml:1: priority", "cannot be looked up"},
		{"DN list with a host name", "tls_allowed_dn_list = ['C=GB,*', 'host-b']", "f.toml:1: tls_allowed_dn_list", `no "="`},
		{"DN list with a URI", "tls_allowed_dn_list = 'C=GB'", "f.toml:1:23: tls_allowed_dn_list", "list of texts"},

		// Limits.
		{"no sessions", "[limits]\nsessions = -1", "f.toml:2: limits.sessions", "cannot be off"},
		{"many sessions", "[limits]\nsessions = 10001", "f.toml:2: limits.sessions", "10000"},
		{"one channel", "[limits]\nchannels = 1", "f.toml:2: limits.channels", "from 2"},
		{"no unit", "[limits]\nidle_timeout = '30'", "f.toml:2: limits.idle_timeout", `"30s"`},
		{"too short", "[limits]\nidle_timeout = '999ms'", "f.toml:2: limits.idle_timeout", `at least "1s"`},
		{"off where it may not be", "[limits]\nhandshake_timeout = '-1s'", "f.toml:2: limits.handshake_timeout", "cannot be off"},
		{"too long", "[limits]\ndrain_timeout = '1000000h'", "f.toml:2: limits.drain_timeout", "too long"},
		{"beyond an int64", "[limits]\ndrain_timeout = '99999999999h'", "f.toml:2: limits.drain_timeout", "not a duration"},
		{"much bandwidth", "[limits]\ntotal_bandwidth = 9000000000000", "f.toml:2: limits.total_bandwidth", "too large"},

		// What guests may ask for.
		{"relative folder", "[accept]\nfolders = ['guests']", "f.toml:2: accept.folders", "no absolute path"},
		{"the whole host", "[accept]\nfolders = ['/']", "f.toml:2: accept.folders", "the whole host"},
		{"folder by dots", "[accept]\nshared_folders = ['/srv/../etc']", "f.toml:2: accept.shared_folders", "no absolute path"},
		{"pools as firmware", "[accept]\nfirmware = ['@pools']", "f.toml:2: accept.firmware", "no absolute path"},
		{"pattern", "[accept]\nchar_files = ['/a/[']", "f.toml:2: accept.char_files", "stands for any part"},
		{"type of an interface", "[accept]\ninterfaces = ['macvtap']", "f.toml:2: accept.interfaces", "direct"},
		{"prefix of addresses", "[accept]\ngraphics_listen = ['192.0.2.0/33']", "f.toml:2: accept.graphics_listen", "192.0.2.0/24"},
		{"attribute for an element", "[peers.b.accept]\nelements = ['devices/disk@rawio']", "f.toml:2: peers.b.accept.elements", "devices/hostdev"},

		// Interception.
		{"one port of interception", "[intercept]\nport = 70000", "f.toml:2: intercept.port", "65535"},
		{"ports without an end", "[intercept]\nports = '49152-'", "f.toml:2: intercept.ports", "FIRST-LAST"},
		{"ports the wrong way", "[intercept]\nports = '49215-49152'", "f.toml:2: intercept.ports", "FIRST-LAST"},
		{"SSH among the ports", "[intercept]\nports = '1-65535'", "f.toml:2: intercept.ports", "from 1024"},
		{"in a circle", "[intercept]\nport = 49152", "f.toml:2: intercept.port", "circle"},
		{"listen's port", "[intercept]\nport = 16514", "f.toml:2: intercept.port", "port of `listen`"},
		{"metrics' port", "metrics = '127.0.0.1:7'\n[intercept]\nport = 7", "f.toml:3: intercept.port", "port of `metrics`"},
		{"listen among the ports", "listen = ':49215'\n[intercept]", "f.toml:1: listen", "closed to other hosts"},
		{"a tunnel among the ports", "[intercept]\n[[tunnel]]\nlisten = 'tls::49152'\nto = 'unix:/x'\nallow = ['b']", "f.toml:3: tunnel.0.listen", "closed to other hosts"},
		{"a peer among the ports", "[peers.b]\naddress = 'b:49152'\n[intercept]", "f.toml:2: peers.b.address", "come back"},
		{"a peer's port", "[peers.b]\nintercept = ['b:49152']", "f.toml:2: peers.b.intercept", "intercept.ports"},
		{"a zone", "[peers.b]\nintercept = ['fe80::1%eth0']", "f.toml:2: peers.b.intercept", "neither"},
		// Hosts without a sluice.
		{"half a permission", "[peers.b]\nwithout_sluice = 'yes'", "f.toml:2: peers.b.without_sluice", `"native-tls" or "plain"`},
		{"libvirt by ssh", "[peers.b]\nlibvirt_uri = 'qemu+ssh://b/system'", "f.toml:2: peers.b.libvirt_uri", "qemu+tls://HOST/system"},
		{"libvirt with options", "[peers.b]\nlibvirt_uri = 'qemu+tls://b/system?no_verify=1'", "f.toml:2: peers.b.libvirt_uri", "nothing may follow"},
		{"libvirt nowhere", "[peers.b]\nlibvirt_uri = 'qemu+tls:///system'", "f.toml:2: peers.b.libvirt_uri", "no host name"},
		{"libvirt in clear", "[peers.b]\nwithout_sluice = 'native-tls'\nlibvirt_uri = 'qemu+tcp://b/system'", "f.toml:3: peers.b.libvirt_uri", "in clear"},
		{"libvirt in clear by a name", "[peers.b]\nwithout_sluice = 'plain'\nlibvirt_uri = 'qemu+tcp://b/system'", "f.toml:3: peers.b.libvirt_uri", "its IP address in place of the name"},
		{"peers alone, and one without a sluice", "[intercept]\npeers_alone = true\n[peers.b]\nwithout_sluice = 'native-tls'", "f.toml:2: intercept.peers_alone", "could not go to b"},

		// Tunnels.
		{"tunnel without listen", "\n[[tunnel]]\nto = 'unix:/a'", "f.toml:2: tunnel.0.listen", "is missing"},
		{"second tunnel without to", "[[tunnel]]\nlisten = 'unix:/a'\nto = 'unix:/b'\n[[tunnel]]\nlisten = 'unix:/c'", "f.toml:4: tunnel.1.to", "is missing"},
		{"second tunnel's key", "[[tunnel]]\nlisten = 'unix:/a'\nto = 'unix:/b'\n[[tunnel]]\nlisten = 'unix:/c'\nto = 'unix:/d'\nidle_timeout = '1'", "f.toml:7: tunnel.1.idle_timeout", "not a duration"},
		{"unknown key of a tunnel", "[[tunnel]]\nlisten = 'unix:/a'\nfrom = 'unix:/b'\nto = 'unix:/b'", "f.toml:3: tunnel.from", "allowed in [tunnel]: allow, bandwidth"},
		{"tunnel's address", "[[tunnel]]\nlisten = 'unix:/a'\nto = 'udp:b:1'", "f.toml:3: tunnel.0.to", "write unix:PATH"},
		{"tunnel's command", "[[tunnel]]\nlisten = 'unix:/a'\nto = 'exec:a | b'", "f.toml:3: tunnel.0.to", "quote it"},
		{"tunnel to itself", "[[tunnel]]\nlisten = 'unix:/a'\nto = 'unix:/a'", "f.toml:1: tunnel.0", "connect to itself"},
		{"tunnel's tls", "[[tunnel]]\nlisten = 'unix:/a'\nto = 'tcp:b:1'\ntls = 'on'", "f.toml:1: tunnel.0", `"yes" or "no"`},
		{"tunnel in clear", "[[tunnel]]\nlisten = 'unix:/a'\nto = 'tcp:b:1'\ntls = 'no'", "f.toml:1: tunnel.0", "require_secure forbids"},
		{"tunnel for nobody", "[[tunnel]]\nlisten = 'tls::1'\nto = 'unix:/a'", "f.toml:1: tunnel.0", "nobody would be let in"},
		{"tunnel's rule", "[[tunnel]]\nlisten = 'tls::1'\nto = 'unix:/a'\nallow = ['a b']", "f.toml:4: tunnel.0.allow", "not a DNS name"},
		{"tunnel's priority", "[[tunnel]]\nlisten = 'unix:/a'\nto = 'tls:b:1'\npriority = 'NORMALS'", "f.toml:4: tunnel.0.priority", `did you mean "NORMAL"?`},
		{"tunnel's certificates", "[[tunnel]]\nlisten = 'unix:/a'\nto = 'tls:b:1'\n[tunnel.certificates]\nca = '/a'", "f.toml:4: tunnel.0.certificates", "all three"},
		{"tunnel's user", "[[tunnel]]\nlisten = 'unix:/a'\nto = 'tls:b:1'\nuser = 'no-such-user'", "f.toml:4: tunnel.0.user", "no-such-user"},
		{"tunnel's close_notify", "[[tunnel]]\nlisten = 'unix:/a'\nto = 'tls:b:1'\nclose_notify = 'no'", "f.toml:4: tunnel.0.close_notify", `"required" or "optional"`},
		{"no connections", "[[tunnel]]\nlisten = 'unix:/a'\nto = 'tls:b:1'\nconnections = -1", "f.toml:4: tunnel.0.connections", "cannot be off"},
		{"tunnels at one place", "[[tunnel]]\nname = 'a'\nlisten = 'unix:/a'\nto = 'unix:/b'\n[[tunnel]]\nlisten = 'unix:/a'\nto = 'unix:/c'", "f.toml:5: tunnel.1", `already that of tunnel "a"`},
		{"tunnels of one name", "[[tunnel]]\nname = 'a'\nlisten = 'unix:/a'\nto = 'unix:/b'\n[[tunnel]]\nname = 'a'\nlisten = 'unix:/c'\nto = 'unix:/d'", "f.toml:5: tunnel.1", "set name"},
		{"one descriptor twice", "[[tunnel]]\nlisten = 'fd:3'\nto = 'unix:/b'\n[[tunnel]]\nlisten = 'fd:4'\nto = 'fd:3'", "f.toml:4: tunnel.1", "descriptor 3"},

		// Peers.
		{"peer outside", "[peers.'../etc']", "f.toml:1: peers.../etc", "may not start"},
		{"peer with slash", "[peers.'a/b']", "f.toml:1: peers.a/b", "names a folder"},
		{"peer is a URI", "[peers.'qemu://a']", "f.toml:1: peers.qemu://a", "URI"},
		{"peer without name", "[peers.'']", "f.toml:1: peers.", "empty"},
		{"peer named too long", "[peers." + long[:65] + "]", "f.toml:1: peers.", "64"},
		{"peer like an option", "[peers.-x]", "f.toml:1: peers.-x", "may not start"},
		{"peer that is no host", "[peers.a]\n[peers.'b..c']\n", "f.toml:2: peers.b..c", "needs an address of its own"},
		{"address is a URI", "[peers.b]\naddress = 'qemu+tls://b/system'", "f.toml:2: peers.b.address", "is a URI"},
		{"address without host", "[peers.b]\naddress = ':16514'", "f.toml:2: peers.b.address", "neither"},
		{"address with port 0", "[peers.b]\naddress = 'b:0'", "f.toml:2: peers.b.address", "65535"},
		{"address with spaces", "[peers.b]\naddress = 'b c'", "f.toml:2: peers.b.address", "neither"},
		{"address with two ports", "[peers.b]\naddress = 'b:1:2'", "f.toml:2: peers.b.address", "brackets"},
		{"no names", "[peers.b]\nnames = []", "f.toml:2: peers.b.names", "no certificate"},
		{"empty name", "[peers.b]\nnames = ['']", "f.toml:2: peers.b.names", "empty"},
		{"name of no kind", "[peers.b]\nnames = ['a b']", "f.toml:2: peers.b.names", "DNS name"},
		{"name with blanks", "[peers.b]\nnames = [' b']", "f.toml:2: peers.b.names", "space"},
		{"name of another", "[peers.b]\n[peers.c]\nnames = ['B']", "f.toml:3: peers.c.names", "already"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := Parse("f.toml", []byte(c.text))
			if err == nil {
				t.Fatalf("taken: %+v", cfg)
			}
			if cfg != nil {
				t.Error("a configuration comes with the error")
			}
			msg := err.Error()
			if !strings.HasPrefix(msg, c.where) || !strings.Contains(msg, c.says) {
				t.Errorf("said   %s\nwanted %s … %s", msg, c.where, c.says)
			}
			if strings.Contains(msg, "\n") {
				t.Errorf("more than one fault:\n%s", msg)
			}
			if strings.Contains(msg, "config.") || strings.Contains(msg, "struct") {
				t.Errorf("speaks of Go, not of the file: %s", msg)
			}
		})
	}
}

// One fault hides no other, and brings no false one.
func TestManyFaults(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"types, values and keys", `
name = 7
users = [107, 108]
lisen = ":1"
qemu_user = "no-such-user"
[limits]
sessions = "7"
session_bytes = 99999999999999999999
idle_timeout = "1"
[peers.b]
address = [
  "b",
]
tls = "on"
[clients.ops]
names = ["ops"]
access = true
[[tunnel]]
listen = 5
to = 6
[[tunnel]]
listen = "unix:/a"
to = 7`, "2: name\n3: users\n4: lisen\n5: qemu_user\n7: limits.sessions\n8: limits.session_bytes\n9: limits.idle_timeout\n" +
			"11: peers.b.address\n14: peers.b.tls\n17: clients.ops.access\n19: tunnel.0.listen\n20: tunnel.0.to\n23: tunnel.1.to"},
		{"inline", "peers.b = {address = 7, names = 'b', tls = 8}\npeers = {c = {tls = 'on', adress = 'c', access = 7}}",
			"1: peers.b.address\n1: peers.b.names\n1: peers.b.tls\n2: peers"},
		{"wrong tables", "[[peers]]\naddress = 'b'\n[limits]\nsessions = -1\n[[limits]]\n[accept]\nfolders = 'a'",
			"1: peers\n4: limits.sessions\n5: limits\n7: accept.folders"},
		{"twice", "name = 'a'\nname = 'b'\ntls = 'on'\n[peers.b]\n[peers.b]\n[limits]\nsessions = -1",
			"2: name\n3: tls\n5: peers.b\n7: limits.sessions"},
		{"broken off within a table", "name = 7\ntls = 'on'\n[limits]\nsessions = -1\n[[tunnel]]\nlisten = 'unix:/a'\nto = 'unix:/b\n[peers.b]\ntls = 'on'",
			"1: name\n2: tls\n4: limits.sessions\n7: "},
		{"broken off above all tables", "name = 7\ntls = 'no'\nlisten = \nrequire_secure = false",
			"1: name\n3: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("f.toml", []byte(c.text))
			if err == nil {
				t.Fatal("taken")
			}
			got := regexp.MustCompile(`(?m)^f\.toml:(\d+)(?::\d+)?: (?:([a-z_.0-9]+): )?.*$`).ReplaceAllString(err.Error(), "$1: $2")
			if got != c.want {
				t.Errorf("%v\nare\n%s\nwant\n%s", err, got, c.want)
			}
		})
	}
}

// A file that is wrong on each line ends in so many faults.
func TestTooManyFaults(t *testing.T) {
	var text strings.Builder
	for i := range 10 * maxFaults {
		fmt.Fprintf(&text, "[peers.p%d]\naddress = 7\n", i)
	}
	_, err := Parse("f.toml", []byte(text.String()))
	if err == nil {
		t.Fatal("taken")
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 1+maxFaults || !strings.HasPrefix(err.Error(), "f.toml: these are the first 50 faults") {
		t.Errorf("%d lines are told, want %d:\n%v", n, 1+maxFaults, err)
	}
}

// What is at the edge and still right.
func TestNoFaults(t *testing.T) {
	fit := maxSocketPath - 1 - maxSession
	for _, text := range []string{
		"run_dir = '/" + strings.Repeat("r", fit-1) + "'",
		"[peers." + strings.Repeat("p", 63) + "]",
		"[peers." + strings.Repeat("p", 64) + "]\naddress = 'b'",
		"libvirt_socket = '/" + strings.Repeat("l", maxSocketPath-1) + "'",
		"listen = '127.0.0.1:0'",
		"users = ['4294967294']",
		"[limits]\nidle_timeout = '1s'\nhandshake_timeout = '100ms'\nsession_bandwidth = 8796093022207",
		"[limits]\nidle_timeout = '0s'\nsessions = 0",
		"[peers.b]\nnames = ['b', 'B']",
		"[peers.b]\nnames = ['C=GB,O=Site, Inc,CN=b', '*.example.org']",
		"tls_allowed_dn_list = []",
		"tls_allowed_dn_list = ['*', '*CN=b', 'C=GB,O=Site\\, Inc,CN=?']",
		"priority = 'SECURE256'\n[peers.b]\npriority = 'NORMAL:-AES-128-GCM'",
		"certificates.spiffe = 'unix:///run/spire/agent/api.sock'",
		"certificates.spiffe = 'tcp://127.0.0.1:8081'",
		"certificates.reload = '-1s'",
		"require_secure = false\n[peers.b]\ntls = 'no'",
		"peers.b.address = 'c'\npeers.c = {}",
	} {
		if _, err := Parse("f.toml", []byte(text)); err != nil {
			t.Errorf("%s\nrefused: %v", text, err)
		}
	}
	if _, err := Parse("f.toml", []byte("run_dir = '/"+strings.Repeat("r", fit)+"'")); err == nil {
		t.Error("a run_dir one byte too long is taken")
	}
}
