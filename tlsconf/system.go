package tlsconf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// System is the system-wide settings of GnuTLS, of which the administrator has one file. The zero
// value is a host without one. A *System is immutable once parsed; a nil one is like the zero
// value.
type System struct {
	Path     string   // "" if there is no file
	Warnings []string // lines that GnuTLS passes over, as "PATH:LINE: why"

	priorities []keyValue // in the file's order; the first of a name counts
	profile    profile
	preset     string // default-priority-string
	forceEMS   bool   // tls-session-hash = require

	// allowlist is override-mode=allowlist: then the enabled lists say what there is, and @SYSTEM
	// is made of them. Otherwise the disabled lists take away.
	allowlist       bool
	ciphers         []string
	macs            []string
	kxs             []string
	groups          []string
	versions        []string
	curves          []string
	hashes          []string
	signs           []string
	disabledCiphers []string
	disabledMACs    []string
	disabledKXs     []string
	disabledGroups  []string
}

type keyValue struct{ key, value string }

// systemFiles are where the file is, by distribution: where crypto-policies (Fedora, RHEL)
// generates it, and GnuTLS's own default.
var systemFiles = []string{"/etc/crypto-policies/back-ends/gnutls.config", "/etc/gnutls/config"}

// SystemFile finds the file that GnuTLS reads: the one that GNUTLS_SYSTEM_PRIORITY_FILE names, else
// the first of the usual ones below root that is there. It returns "" if there is none. getenv is
// os.Getenv, and root "/", mostly.
func SystemFile(getenv func(string) string, root string) string {
	if path := getenv("GNUTLS_SYSTEM_PRIORITY_FILE"); path != "" {
		return path
	}
	for _, path := range systemFiles {
		path = root + path
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// LoadSystem reads the file at path; with "" it returns a System without a file.
func LoadSystem(path string) (*System, error) {
	if path == "" {
		return &System{}, nil
	}
	fd, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		// As GnuTLS has it: a file that is named and not there is no file.
		return &System{}, nil
	}
	var data []byte
	if err == nil {
		defer fd.Close()
		data, err = io.ReadAll(io.LimitReader(fd, maxSystemFile+1))
	}
	if err != nil {
		return nil, fmt.Errorf("GnuTLS's system file: %w", err)
	}
	return ParseSystem(path, data)
}

// DefaultPriority is the string for a host that sets none: "@LIBVIRT,SYSTEM" where the system file
// has one of the two, as on Fedora and RHEL, else "NORMAL" (libvirt's build option tls_priority).
func (s *System) DefaultPriority() string {
	for _, key := range []string{"LIBVIRT", "SYSTEM"} {
		if _, ok := s.lookup(key); ok {
			return "@LIBVIRT,SYSTEM"
		}
	}
	if s != nil && s.preset != "" {
		return s.preset
	}
	return "NORMAL"
}

// lookup finds the string for a keyword. Keywords, unlike all else, are case-sensitive.
func (s *System) lookup(key string) (string, bool) {
	if s == nil {
		return "", false
	}
	if s.allowlist && key == "SYSTEM" {
		return s.generated(), true
	}
	for _, kv := range s.priorities {
		if kv.key == key {
			return kv.value, true
		}
	}
	return "", false
}

// generated is @SYSTEM in allowlist mode (construct_system_wide_priority_string in GnuTLS's
// lib/priority.c).
func (s *System) generated() string {
	var b strings.Builder
	b.WriteString("NONE")
	for _, p := range []struct {
		prefix string
		names  []string
	}{{"", s.kxs}, {"GROUP-", s.groups}, {"", s.ciphers}, {"", s.macs}, {"SIGN-", s.signs}, {"VERS-", s.versions}} {
		for _, n := range p.names {
			b.WriteString(":+" + p.prefix + n)
		}
	}
	return b.String()
}

// expand looks @KEYWORD,FALLBACK:more up. A string without @ is returned as it is.
func (s *System) expand(priority string) (expanded, from string, err error) {
	trimmed := strings.TrimLeft(priority, " \t\n\v\f\r")
	if !strings.HasPrefix(trimmed, "@") {
		return trimmed, "", nil
	}
	words, more, hasMore := strings.Cut(trimmed[1:], ":")
	for word := range strings.SplitSeq(words, ",") {
		if value, ok := s.lookup(word); ok {
			if hasMore {
				value += ":" + more
			}
			return value, s.Path, nil
		}
	}
	where := "this host has no system file"
	if s != nil && s.Path != "" {
		where = s.Path + " has none of them"
	}
	return "", "", &SyntaxError{String: priority, Token: "@" + words, Column: 1 + len(priority) - len(trimmed),
		Reason: fmt.Sprintf("%q cannot be looked up: %s", "@"+words, where)}
}

// versionEnabled is false for versions that the file takes away. In allowlist mode one that is
// named in a priority string comes back.
func (s *System) versionEnabled(v string) bool {
	if v == "SSL3.0" {
		return false // not built in
	}
	return s == nil || s.allowlist || !has(s.versions, v)
}

func (s *System) curveEnabled(c string) bool {
	switch {
	case s == nil:
		return true
	case s.allowlist:
		return has(s.curves, c)
	}
	return !has(s.curves, c)
}

func (s *System) hashSecure(h string) bool {
	switch {
	case s == nil:
		return true
	case s.allowlist:
		return has(s.hashes, h)
	}
	return !has(s.hashes, h)
}

// signSecure tells whether a signature algorithm may be used in handshakes. In allowlist mode
// one that is named in a priority string comes back, as its hash does.
func (s *System) signSecure(name string) bool {
	sg := signs[name]
	if sg.insecure || sg.hash == "MD5" {
		return false
	}
	if s == nil || s.allowlist {
		return true
	}
	return !has(s.signs, name) && !has(s.hashes, sg.hash)
}
