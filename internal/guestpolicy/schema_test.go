package guestpolicy

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/needs"
)

// pattern is an element of a RELAX NG schema.
type pattern struct {
	XMLName xml.Name
	Name    string    `xml:"name,attr"`
	Href    string    `xml:"href,attr"`
	Inner   []pattern `xml:",any"`
}

// schema is libvirt's of a guest's description.
type schema struct {
	t       *testing.T
	dir     string
	defined map[string][]pattern
	found   map[string]bool // paths of elements, and path@attribute
}

func (s *schema) load(file string) {
	raw, err := os.ReadFile(filepath.Join(s.dir, file))
	if err != nil {
		s.t.Fatal(err)
	}
	var p pattern
	if err := xml.Unmarshal(raw, &p); err != nil {
		s.t.Fatal(err)
	}
	s.collect(p)
}

func (s *schema) collect(p pattern) {
	for _, c := range p.Inner {
		switch c.XMLName.Local {
		case "include":
			s.load(c.Href)
			s.collect(c)
		case "div":
			s.collect(c)
		case "define":
			s.defined[c.Name] = append(s.defined[c.Name], c)
		}
	}
}

func (s *schema) walk(p pattern, path string, within []string) {
	for _, c := range p.Inner {
		switch c.XMLName.Local {
		case "ref":
			if !slices.Contains(within, c.Name) {
				for _, d := range s.defined[c.Name] {
					s.walk(d, path, append(within[:len(within):len(within)], c.Name))
				}
			}
		case "element":
			if c.Name != "" {
				at := path + "/" + c.Name
				s.found[at] = true
				s.walk(c, at, within)
			}
		case "attribute":
			if c.Name != "" {
				s.found[path+"@"+c.Name] = true
			}
		default:
			s.walk(c, path, within)
		}
	}
}

// harmless are what may be a path and names nothing of the host's, or has no effect.
var harmless = []string{
	"name", "title", "description", "metadata", "os/cmdline", "resource/partition",
	"keywrap", "keywrap/", "launchSecurity", "launchSecurity/", "launchSecurity@type", "launchSecurity@kernelHashes", // keys
	"devices/filesystem/target@dir",                          // in the guest
	"devices/disk/source@name", "devices/disk/source@volume", // at another host, in a pool
	"devices/interface/source@network", "devices/interface/source@bridge", "devices/interface/source@dev", // names of those that are here
}

// Wherever libvirt's schema has a value, a path there is refused.
func TestSchema(t *testing.T) {
	s := &schema{t: t, dir: "/usr/share/libvirt/schemas", defined: make(map[string][]pattern), found: make(map[string]bool)}
	needs.File(t, s.dir, "libvirt0")
	s.load("domain.rng")
	s.walk(pattern{Inner: s.defined["domain"]}, "", nil)
	const want = 1500
	if len(s.found) < want {
		t.Fatalf("the schema has %d places only", len(s.found))
	}
	policy := New(config.Accept{}, nil)
	for at := range s.found {
		path, name, attribute := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(at, "/domain"), "/"), "@")
		place := placeOf(path)
		if attribute {
			place += "@" + name
		}
		if path == "" || slices.ContainsFunc(harmless, func(h string) bool { return place == h || strings.HasSuffix(h, "/") && strings.HasPrefix(place, h) }) {
			continue
		}
		for _, value := range []string{"/etc/shadow", "/var/lib/libvirt/images/../../../../etc/shadow"} {
			if text := describe(path, name, value); text != "" {
				if err := policy.Check(text); err == nil {
					t.Errorf("%s: %q is accepted: %s", place, value, text)
				}
			}
		}
	}
}

// describe is a guest with this value in one place and little else.
func describe(path, attribute, value string) string {
	parts := strings.Split(path, "/")
	text := value
	if attribute != "" {
		text = ""
	}
	for i, p := range slices.Backward(parts) {
		attrs := ""
		if i == len(parts)-1 && attribute != "" {
			attrs = fmt.Sprintf(" %s='%s'", attribute, value)
		}
		if p == "interface" && attribute != "type" {
			attrs += " type='bridge'"
		}
		text = "<" + p + attrs + ">" + text + "</" + p + ">"
	}
	return guest(text)
}
