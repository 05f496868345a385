package tlsconf

// lists are what the tokens of a string add to and take from. Each holds names in GnuTLS's
// spelling, in upper case.
type lists struct {
	versions, ciphers, macs, kxs, signs, groups []string

	ownGroups bool // they were listed one by one
	noHybrid  bool // it was taken away

	ctypeClient, ctypeServer []string

	options map[string]bool // without the %
	profile profile
	notes   []Note
}

// level takes over a level: the first sets the lists, further ones add to them.
func (l *lists) level(lev level, add bool) {
	for _, p := range []struct {
		to   *[]string
		from []string
	}{{&l.versions, lev.versions}, {&l.ciphers, lev.ciphers}, {&l.macs, lev.macs},
		{&l.kxs, lev.kxs}, {&l.signs, lev.signs}, {&l.groups, lev.groups}} {
		switch {
		case p.from == nil:
		case add:
			*p.to = addAll(*p.to, p.from...)
		default:
			*p.to = clone(p.from)
		}
	}
	if lev.profile != profileNone && (l.profile == profileNone || l.profile > lev.profile) {
		l.profile = lev.profile
	}
}

func (l *lists) note(t token, why string) {
	l.notes = append(l.notes, Note{Token: t.text, Why: why})
}

func clone(list []string) []string { return append([]string(nil), list...) }

func addAll(to []string, names ...string) []string {
	for _, n := range names {
		if !has(to, n) {
			to = append(to, n)
		}
	}
	return to
}

func removeAll(from []string, names ...string) []string {
	var out []string
	for _, n := range from {
		if !has(names, n) {
			out = append(out, n)
		}
	}
	return out
}

func has(list []string, name string) bool {
	for _, n := range list {
		if n == name {
			return true
		}
	}
	return false
}
