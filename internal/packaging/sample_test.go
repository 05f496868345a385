package packaging

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/config"
)

var update = flag.Bool("update", false, "write sluice.toml anew from docs/config.md")

// sampleFile is the configuration that packages and `make install` install.
const sampleFile = "sluice.toml"

const sampleHead = `# sluice's configuration on this host, with the files in conf.d beside it. A change takes
# effect by "systemctl reload sluice", which names the few keys that take a restart.
#
# Everything here is a comment. A line that begins with # and no space is a setting: take
# the # away to use it, and that of its [table]. What is shown is the default, or an example
# where the text before it says so. sluice.toml(5) has every key with the reason for it.
`

// The sample has every key of the reference, in its order.
func TestSample(t *testing.T) {
	sections := readReference(t)
	var b strings.Builder
	b.WriteString(sampleHead)
	for _, s := range sections {
		b.WriteString("\n")
		if s.table != "" {
			fmt.Fprintf(&b, "#%s\n", s.table)
		}
		for _, k := range s.keys {
			comment := k.says
			switch {
			case k.fallback == "no default":
				comment += " Example:"
			case k.fallback == "required":
				comment += " Required. Example:"
			case !k.isDefault:
				comment += fmt.Sprintf(" Default: %s. Example:", k.fallback)
			}
			for line := range strings.SplitSeq(fill(comment, 88), "\n") {
				fmt.Fprintf(&b, "# %s\n", line)
			}
			fmt.Fprintf(&b, "#%s = %s\n", k.name, k.value)
		}
	}
	if *update {
		if err := os.WriteFile(sampleFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(sampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Errorf("%s is not what docs/config.md says: go test ./internal/packaging -run TestSample -update", sampleFile)
	}
}

// The configuration of the base for Kubernetes loads.
func TestKubernetes(t *testing.T) {
	const file = "kubernetes/sluice.toml"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse(file, text)
	if err != nil || len(cfg.Patterns()) != 1 {
		t.Errorf("%v, %+v", err, cfg)
	}
}

// The sample loads as it is, and with any of its settings enabled.
func TestSampleLoads(t *testing.T) {
	text, err := os.ReadFile(sampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := config.Parse(sampleFile, text); err != nil {
		t.Error(err)
	}
	// What other settings of its table a setting cannot do without.
	needs := map[string][]string{
		"[[tunnel]]":          {"listen", "to"},
		"[clients.operators]": {"names", "access"},
		"ca":                  {"cert", "key"}, "cert": {"ca", "key"}, "key": {"ca", "cert"},
	}
	table, settings := "", make(map[string][]string)
	var tables []string
	for line := range strings.Lines(string(text)) {
		switch line = strings.TrimSuffix(line, "\n"); {
		case strings.HasPrefix(line, "#["):
			table = line[1:]
			fallthrough
		case len(tables) == 0:
			tables = append(tables, table)
		}
		if strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "#[") && len(line) > 1 && line[1] != ' ' {
			settings[table] = append(settings[table], line[1:])
		}
	}
	for _, table := range tables {
		for _, s := range settings[table] {
			lines := []string{table, s}
			key, _, _ := strings.Cut(s, " = ")
			for _, other := range append(needs[table], needs[key]...) {
				for _, s := range settings[table] {
					if strings.HasPrefix(s, other+" = ") && other != key {
						lines = append(lines, s)
					}
				}
			}
			if _, err := config.Parse(sampleFile, []byte(strings.Join(lines, "\n"))); err != nil {
				t.Errorf("%s\n%v", strings.Join(lines, "\n"), err)
			}
		}
	}
}

// A section of the reference is a table of the configuration.
type section struct {
	table string // as it is written: "[limits]"; none for the keys before the first
	keys  []key
}

type key struct {
	name      string
	fallback  string // its default in words
	value     string // its default in TOML, or else an example
	isDefault bool
	says      string // the first sentence of what it is for
}

var (
	heading = regexp.MustCompile("^## (?:This host|`(\\[+[a-z_]+(?:\\.NAME)?\\]+)`)\n")
	item    = regexp.MustCompile("(?m)^- `([a-z_]+)`, ((?:[^.`(]|`[^`]*`|\\([^)]*\\))+)\\. (.*(?:\n  .*)*)")
	inTOML  = regexp.MustCompile("^default (?:`([^`]+)`|([0-9]+)$)")
	link    = regexp.MustCompile("\\[(`[^`]*`|[^\\]]+)\\]\\([^)]*\\)")
)

// readReference reads docs/config.md.
func readReference(t *testing.T) (sections []section) {
	t.Helper()
	text, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.SplitAfter("\n"+string(text), "\n## ")[1:] {
		part = "## " + strings.TrimSuffix(part, "\n## ")
		m := heading.FindStringSubmatch(part)
		if m == nil {
			continue
		}
		s := section{table: map[string]string{"[peers.NAME]": "[peers.host-b]", "[clients.NAME]": "[clients.operators]"}[m[1]]}
		if s.table == "" {
			s.table = m[1]
		}
		domain := section{table: `[peers."*.kvm.example.org"]`}
		for _, m := range item.FindAllStringSubmatch(part, -1) {
			to := &s
			if strings.HasPrefix(m[3], "Only in a table for a domain:") {
				to = &domain
			}
			to.keys = append(to.keys, readKey(t, to.table, m[1], m[2], m[3]))
		}
		if n := strings.Count(part, "\n- `"); n < len(s.keys) || len(s.keys) == 0 {
			t.Errorf("%d of %d items of %s are read", len(s.keys), n, s.table)
		}
		if sections = append(sections, s); domain.keys != nil {
			sections = append(sections, domain)
		}
	}
	if len(sections) < 9 {
		t.Fatalf("docs/config.md has %d sections of keys", len(sections))
	}
	return sections
}

func readKey(t *testing.T, table, name, fallback, says string) key {
	t.Helper()
	says = strings.Join(strings.Fields(says), " ")
	k := key{name: name}
	k.fallback = plain(strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(strings.Join(strings.Fields(fallback), " "), "default"), ":")))
	sentence, _, _ := strings.Cut(says, ". ")
	k.says = plain(strings.TrimSuffix(sentence, ".")) + "."
	if m := inTOML.FindStringSubmatch(strings.Join(strings.Fields(fallback), " ")); m != nil && m[1] != "[NAME]" {
		k.value, k.isDefault = m[1]+m[2], true
	} else if k.value = examples[strings.Trim(table, "[]")+"."+name]; k.value == "" {
		t.Errorf("docs/config.md has no default of %s in %s, and there is no example here", name, table)
	}
	return k
}

// examples are values of keys that have no default of their own.
var examples = map[string]string{
	".name":                           `"host-a"`,
	".libvirt_socket":                 `"/run/libvirt/libvirt-sock"`,
	".metrics":                        `"127.0.0.1:16515"`,
	".qemu_user":                      `"libvirt-qemu"`,
	".users":                          `["1000"]`,
	".priority":                       `"SECURE256"`,
	".tls_allowed_dn_list":            `["C=GB,O=Example,*"]`,
	"auto.deadline":                   `"30s/GiB"`,
	"auto.allow":                      `["slow", "postcopy"]`,
	"certificates.ca":                 `"/etc/sluice/ca.pem"`,
	"certificates.cert":               `"/etc/sluice/cert.pem"`,
	"certificates.key":                `"/etc/sluice/key.pem"`,
	"certificates.crl":                `"/etc/sluice/crl.pem"`,
	"certificates.dir":                `"/etc/pki/qemu"`,
	"certificates.layout":             `"qemu"`,
	"certificates.spiffe":             `"unix:///run/spire/agent/api.sock"`,
	"limits.session_bytes":            `1_000_000_000_000`,
	"limits.session_bandwidth":        `500`,
	"limits.total_bandwidth":          `1000`,
	"telemetry.otlp":                  `"http://127.0.0.1:4318"`,
	"accept.firmware":                 `["/usr/share/OVMF"]`,
	"accept.shared_folders":           `["/srv/shared"]`,
	"accept.char_files":               `["/var/lib/libvirt/qemu/channel/target/*"]`,
	"accept.char_connect":             `["/run/agent/*.sock"]`,
	"accept.networks":                 `["default"]`,
	"accept.bridges":                  `["br0"]`,
	"accept.graphics_listen":          `["192.0.2.0/24"]`,
	"accept.elements":                 `["devices/hostdev"]`,
	"peers.host-b.address":            `"192.0.2.12"`,
	"peers.host-b.names":              `["host-b.example.org"]`,
	"peers.host-b.aliases":            `["kvm2"]`,
	"peers.host-b.tls":                `"yes"`,
	"peers.host-b.priority":           `"SECURE256"`,
	"peers.host-b.libvirt_uri":        `"qemu+tls://192.0.2.12:16514/system"`,
	"peers.host-b.intercept":          `["192.0.2.12"]`,
	"peers.host-b.accept":             `{ graphics_listen = ["192.0.2.0/24"] }`,
	`peers."*.kvm.example.org".hosts`: `["host-c.kvm.example.org"]`,
	"clients.operators.names":         `["C=GB,O=Example,CN=ops*"]`,
	"clients.operators.access":        `"migrate"`,
	"web.names":                       `["C=GB,O=Example,OU=Operators,*"]`,
	"tunnel.listen":                   `"unix:/run/sluice/tunnels/disk.sock"`,
	"tunnel.to":                       `"tls:host-b:10809"`,
	"tunnel.name":                     `"disk"`,
	"tunnel.tls":                      `"yes"`,
	"tunnel.tls_name":                 `"host-b"`,
	"tunnel.allow":                    `["*.example.org"]`,
	"tunnel.priority":                 `"SECURE256"`,
	"tunnel.certificates":             `{ dir = "/etc/pki/qemu", layout = "qemu" }`,
	"tunnel.starttls":                 `"nbd"`,
	"tunnel.user":                     `"libvirt-qemu"`,
	"tunnel.bandwidth":                `100`,
	"tunnel.handshake_timeout":        `"10s"`,
	"tunnel.idle_timeout":             `"1h"`,
}

// plain is Markdown without its marks.
func plain(s string) string {
	return strings.NewReplacer("`", "", "**", "").Replace(link.ReplaceAllString(s, "$1"))
}

// fill breaks a text into lines of at most so many columns.
func fill(s string, columns int) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(s) {
		switch n := len([]rune(word)); {
		case column == 0:
			column = n
		case column+1+n > columns:
			b.WriteString("\n")
			column = n
		default:
			b.WriteString(" ")
			column += 1 + n
		}
		b.WriteString(word)
	}
	return b.String()
}
