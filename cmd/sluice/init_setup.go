package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/virt-sluice/sluice/internal/check"
	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/tlsconf"
	"github.com/virt-sluice/sluice/tlsconf/layout"
)

// A setup is what `sluice init` has to write beside what is there already.
type setup struct {
	name         string              // this host's
	hosts        []host              // that are not listed yet
	certificates config.Certificates // none: the search finds them, or they are named already
	why          string              // these certificates
	none         bool                // there are none
	qemuUser     string              // "": the default
}

// newSetup looks around on this host.
func newSetup(hosts []host, before *config.Config) (*setup, error) {
	defaults, err := config.Parse("", nil)
	if err != nil {
		return nil, err
	}
	s := &setup{name: before.Name}
	if s.name == "" {
		s.name = defaults.Name
	}
	for _, h := range hosts {
		_, listed := before.Peers[h.name]
		if _, pattern := before.Patterns()[h.name]; !listed && !pattern && !strings.EqualFold(h.name, s.name) {
			s.hosts = append(s.hosts, h)
		}
	}
	if before.Certificates.Given() {
		s.why = "as the configuration names them"
	} else if err := s.find(); err != nil {
		return nil, err
	}
	if before.QEMUUser == "" || before.QEMUUser == defaults.QEMUUser {
		set, err := check.LibvirtSettings("/etc/libvirt/qemu.conf")
		if err != nil {
			return nil, err
		}
		if user := strings.TrimPrefix(set["user"], "+"); user != defaults.QEMUUser { // + is before a number
			s.qemuUser = user
		}
	}
	return s, nil
}

// own are sluice's own files, where someone has made them.
var own = tlsconf.Files{CA: "/etc/sluice/ca.pem", Cert: "/etc/sluice/cert.pem", Key: "/etc/sluice/key.pem"}

// find looks for certificates: sluice's own, where the daemon looks by itself, then where libvirt's
// settings say.
func (s *setup) find() error {
	named := func(f tlsconf.Files, why string) bool {
		for _, path := range []string{f.CA, f.Cert, f.Key} {
			if _, err := os.Stat(path); path == "" || errors.Is(err, fs.ErrNotExist) {
				return false
			}
		}
		s.certificates, s.why = config.Certificates{CA: f.CA, Cert: f.Cert, Key: f.Key}, why
		return true
	}
	if named(own, "sluice's own, in /etc/sluice") {
		return nil
	}
	found, err := tlsconf.Find(tlsconf.Search{})
	if err == nil {
		s.why = found.Why
		return nil
	}
	for _, path := range []string{"/etc/libvirt/libvirtd.conf", "/etc/libvirt/virtproxyd.conf"} {
		set, err := check.LibvirtSettings(path)
		if err != nil {
			return err
		}
		if named(tlsconf.Files{CA: set["ca_file"], Cert: set["cert_file"], Key: set["key_file"]}, "as "+path+" names them") {
			return nil
		}
	}
	native := check.Native()
	if _, err := tlsconf.Find(tlsconf.Search{Dir: native.Dir, Layout: layout.QEMU}); err == nil {
		s.certificates, s.why = config.Certificates{Dir: native.Dir, Layout: layout.QEMU}, "QEMU's, in "+native.Dir
		return nil
	}
	s.none = true
	return nil
}

// text is the file.
func (s *setup) text() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by sluice init. sluice.toml(5) has every key.\n")
	if s.qemuUser != "" {
		fmt.Fprintf(&b, "\nqemu_user = %s # as /etc/libvirt/qemu.conf has it\n", quote(s.qemuUser))
	}
	switch c := s.certificates; {
	case s.none:
		b.WriteString("\n# There were no certificates.\n")
	case c.Dir != "":
		fmt.Fprintf(&b, "\n[certificates] # %s\ndir = %s\nlayout = %s\n", s.why, quote(c.Dir), quote(c.Layout))
	case c.CA != "":
		fmt.Fprintf(&b, "\n[certificates] # %s\nca = %s\ncert = %s\nkey = %s\n", s.why, quote(c.CA), quote(c.Cert), quote(c.Key))
	default:
		fmt.Fprintf(&b, "\n# Certificates: %s.\n", oneLine(s.why))
	}
	for _, h := range s.hosts {
		name := h.name
		if strings.ContainsAny(name, ".*") {
			name = quote(name)
		}
		fmt.Fprintf(&b, "\n[peers.%s]\n", name)
		if h.address != "" {
			fmt.Fprintf(&b, "address = %s\n", quote(h.address))
		}
	}
	return []byte(b.String())
}

// quote is a text in TOML.
func quote(text string) string {
	q, err := toml.Marshal(map[string]string{"": text})
	if err != nil {
		panic(err) // any text can be written
	}
	_, value, _ := strings.Cut(string(q), " = ")
	return strings.TrimSpace(value)
}

// says is what was decided, in a few words.
func (s *setup) says() string {
	var names []string
	for _, h := range s.hosts {
		names = append(names, h.name)
	}
	peers := "no host that was not listed already"
	if len(names) > 0 {
		peers = strings.Join(names, " ")
	}
	certificates := s.why
	if s.none {
		certificates = "none"
	}
	return fmt.Sprintf("peers: %s; certificates: %s", peers, certificates)
}

// after are the lines that say what comes next.
func (s *setup) after(ctx context.Context, cfg *config.Config, main string, errors bool) (lines []string) {
	others := listed(cfg)
	if len(others) == 0 {
		others = []string{"HOST"}
	}
	if s.none {
		all := append([]string{cfg.Name}, others...)
		lines = append(lines, "", "If your hosts have no certificates yet, make them on one machine and copy them:",
			"  sluice pki init && sluice pki issue "+strings.Join(all, " "))
		for _, name := range all {
			lines = append(lines, fmt.Sprintf("  scp -r pki/%[1]s/. root@%[1]s:/etc/pki/", name))
		}
	}
	next := fmt.Sprintf("Next, once the other host is set up as well (there: sluice init --peer %s):", cfg.Name)
	if errors {
		next = "First mend the errors above. Then, once the other host is set up as well:"
	}
	_, err := os.Stat("/run/systemd/system")
	start := "systemctl enable --now sluice"
	switch {
	case err != nil || main != defaultConfig:
		start = "sluice serve --config " + main
	case s.runs(ctx):
		start = "systemctl reload sluice"
	}
	return append(lines, "", next, "  sudo "+start, "  sudo sluice migrate GUEST "+others[0])
}

func (s *setup) runs(ctx context.Context) bool {
	_, err := control.New(control.DefaultSocket).Status(ctx)
	return err == nil
}

// listed are the peers that are no patterns.
func listed(cfg *config.Config) (names []string) {
	for _, name := range cfg.PeerNames() {
		if !strings.HasPrefix(name, "*") {
			names = append(names, name)
		}
	}
	return names
}
