package tlsconf

import (
	"bytes"
	"fmt"
	"strings"
)

// maxSystemFile and maxSystemLine bound the file, in bytes. GnuTLS cuts lines at 2 KiB in two.
const (
	maxSystemFile = 1 << 20
	maxSystemLine = 2047
)

// ParseSystem reads a file in the form of GnuTLS's (doc/cha-config.texi; the INI reader is inih):
// lines KEY=VALUE without a section or in [priorities] are priority strings; [global] holds
// override-mode; [overrides] lists what is enabled or disabled. Comments begin with ; or #, or with
// ; after a space; a line that begins with a space continues the last key with another value.
//
// A line that GnuTLS would give up at is an error; one that it would pass over becomes a warning.
func ParseSystem(path string, data []byte) (*System, error) {
	if len(data) > maxSystemFile {
		return nil, fmt.Errorf("%s: larger than the %d bytes allowed", path, maxSystemFile)
	}
	s := &System{Path: path}
	lines, err := iniLines(path, data)
	if err != nil {
		return nil, err
	}
	// [global] decides what the rest means, wherever it stands.
	for _, l := range lines {
		if strings.EqualFold(l.section, "global") {
			s.global(l)
		}
	}
	for _, l := range lines {
		switch {
		case l.section == "", strings.EqualFold(l.section, "priorities"):
			s.priorities = append(s.priorities, keyValue{l.key, l.value})
		case strings.EqualFold(l.section, "overrides"):
			s.override(l)
		case !strings.EqualFold(l.section, "global"):
			s.warn(l, "section [%s] is not known", l.section)
		}
	}
	return s, nil
}

type iniLine struct {
	n                   int
	section, key, value string
}

func (s *System) warn(l iniLine, format string, args ...any) {
	s.Warnings = append(s.Warnings, fmt.Sprintf("%s:%d: %s", s.Path, l.n, fmt.Sprintf(format, args...)))
}

const space = " \t\n\v\f\r"

func iniLines(path string, data []byte) ([]iniLine, error) {
	var out []iniLine
	section, last := "", ""
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	n := 0
	for raw := range bytes.Lines(data) {
		n++
		fail := func(why string) error { return fmt.Errorf("%s:%d: %s", path, n, why) }
		if len(raw) > maxSystemLine {
			return nil, fail(fmt.Sprintf("longer than the %d bytes allowed", maxSystemLine))
		}
		if bytes.IndexByte(raw, 0) >= 0 {
			return nil, fail("holds a NUL")
		}
		line := strings.TrimRight(string(raw), space)
		text := strings.TrimLeft(line, space)
		switch {
		case text == "", text[0] == ';', text[0] == '#':
		case last != "" && len(text) < len(line):
			out = append(out, iniLine{n, section, last, text})
		case text[0] == '[':
			name, _, ok := strings.Cut(cutComment(text[1:], "]"), "]")
			if !ok {
				return nil, fail("a section without ]")
			}
			section, last = name, ""
		default:
			head := cutComment(text, "=:")
			i := strings.IndexAny(head, "=:")
			if i < 0 {
				return nil, fail("neither KEY=VALUE nor a [section]")
			}
			last = strings.TrimRight(text[:i], space)
			value := strings.Trim(cutComment(text[i+1:], ""), space)
			out = append(out, iniLine{n, section, last, value})
		}
	}
	return out, nil
}

// cutComment cuts s at a ; that follows a space, unless one of the bytes in stop comes first.
func cutComment(s, stop string) string {
	for i := range len(s) {
		if strings.IndexByte(stop, s[i]) >= 0 {
			return s
		}
		if s[i] == ';' && i > 0 && strings.IndexByte(space, s[i-1]) >= 0 {
			return s[:i]
		}
	}
	return s
}

func (s *System) global(l iniLine) {
	value := word(l.value)
	switch {
	case strings.EqualFold(l.key, "override-mode") && strings.EqualFold(value, "allowlist"):
		s.allowlist = true
	case strings.EqualFold(l.key, "override-mode") && strings.EqualFold(value, "blocklist"):
		s.allowlist = false
	case strings.EqualFold(l.key, "override-mode"):
		s.warn(l, "override-mode %q is not known", value)
	case strings.EqualFold(l.key, "ktls"):
		// GnuTLS's own use of kernel TLS.
	default:
		s.warn(l, "%q is not known in [global]", l.key)
	}
}

// override is one line of [overrides].
func (s *System) override(l iniLine) {
	key, value := strings.ToLower(l.key), strings.ToUpper(word(l.value))
	switch key {
	case "default-priority-string":
		s.preset = word(l.value)
		return
	case "tls-session-hash": // what crypto-policies' FIPS back-end has
		switch value {
		case "REQUIRE":
			s.forceEMS = true
		case "REQUEST":
		default:
			s.warn(l, "%q is not known: there is request and require", l.value)
		}
		return
	case "min-verification-profile":
		p, ok := profileByName(l.value)
		if !ok {
			s.warn(l, "profile %q is not known", l.value)
			return
		}
		s.profile = p
		return
	}
	// The same list, enabled in one mode and disabled in the other; a key of the other mode has no
	// effect.
	type target struct {
		allow, block string
		known        func(string) bool
		enabled      *[]string
		disabled     *[]string
	}
	inMap := func(m map[string]bool) func(string) bool { return func(n string) bool { return m[n] } }
	for _, t := range []target{
		{"secure-hash", "insecure-hash", hashKnown, &s.hashes, &s.hashes},
		{"secure-sig", "insecure-sig", signKnown, &s.signs, &s.signs},
		{"secure-sig-for-cert", "insecure-sig-for-cert", signKnown, nil, nil},
		{"enabled-version", "disabled-version", inMap(versions), &s.versions, &s.versions},
		{"enabled-curve", "disabled-curve", curveKnown, &s.curves, &s.curves},
		{"tls-enabled-cipher", "tls-disabled-cipher", inMap(ciphers), &s.ciphers, &s.disabledCiphers},
		{"tls-enabled-group", "tls-disabled-group", groupKnown, &s.groups, &s.disabledGroups},
		{"tls-enabled-kx", "tls-disabled-kx", inMap(kxs), &s.kxs, &s.disabledKXs},
		{"tls-enabled-mac", "tls-disabled-mac", inMap(macs), &s.macs, &s.disabledMACs},
	} {
		if key != t.allow && key != t.block {
			continue
		}
		if (key == t.allow) != s.allowlist {
			s.warn(l, "%s has no effect in this override-mode", key)
			return
		}
		if strings.HasSuffix(key, "-group") {
			value = strings.TrimPrefix(value, "GROUP-")
		}
		to := t.disabled
		if s.allowlist {
			to = t.enabled
		}
		switch {
		case !t.known(value):
			s.warn(l, "%q is not known", value)
		case to != nil:
			*to = addAll(*to, value)
		}
		return
	}
	s.warn(l, "%q is not known in [overrides]", l.key)
}

// word is a value up to its first space.
func word(s string) string {
	if f := strings.Fields(s); len(f) > 0 {
		return f[0]
	}
	return ""
}

var hashes = set("SHA1", "SHA256", "SHA384", "SHA512", "SHA224", "MD5", "SHA3-224", "SHA3-256", "SHA3-384", "SHA3-512",
	"GOSTR341194", "STREEBOG-256", "STREEBOG-512", "SHAKE-128", "SHAKE-256", "RIPEMD160", "MD2")

func hashKnown(n string) bool  { return hashes[n] }
func signKnown(n string) bool  { _, ok := signs[n]; return ok }
func curveKnown(n string) bool { _, ok := curves[n]; return ok }
func groupKnown(n string) bool { _, ok := groups[n]; return ok }
