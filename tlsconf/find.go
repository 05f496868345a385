package tlsconf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/virt-sluice/sluice/tlsconf/layout"
)

// Files names this host's PEM files. CA, Cert and Key go together: all or none. A CRL may be named
// without them; it then takes the place of the list that a layout has.
type Files struct{ CA, Cert, Key, CRL string }

// Search says where to look. The zero value looks where the other programs on the host do.
type Search struct {
	Files  Files  // these, and no search unless it is the CRL alone
	Dir    string // the layout's folder, in place of its usual one; for "libvirt" what /etc/pki is otherwise
	Layout string // one of layout.Names: this one alone; "" for all in their order
	Root   string // put before the usual folders; "" is "/"

	StaleCRL bool // Found.StaleCRL
	Role     Role // Found.Role
}

// Role is what certificates are used for.
type Role int

const (
	BothRoles Role = iota
	AsServer       // peers connect here, and this host to none
	AsClient       // the reverse
)

// Found says which files were chosen, and why.
type Found struct {
	Layout   string // "files" where Search.Files named them
	CA       string
	CRL      string // "" if there is none
	StaleCRL bool   // peers of a CA whose list has run out are let in, unless the list names them
	Server   []Pair // used when peers connect to us
	Client   []Pair // used when we connect to peers; the same pair as Server's where that serves both
	Role     Role   // the certificates need be good for this one alone
	Why      string // one sentence for a person
}

// Paths are the files, each once, the CA's first.
func (f Found) Paths() []string {
	all, paths := []string{f.CA, f.CRL}, []string{}
	for _, p := range slices.Concat(f.Server, f.Client) {
		all = append(all, p.Cert, p.Key)
	}
	for _, path := range all {
		if path != "" && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths
}

// Pair is a certificate file and the file of its key.
type Pair = layout.Pair

// NotFoundError says what a search looked at.
type NotFoundError struct{ Looked []Looked }

// Looked is one place and what was missing there.
type Looked struct {
	Layout  string
	Dir     string
	Missing []string // files, each with the reason if it is not plain absence
}

func (e *NotFoundError) Error() string {
	var b strings.Builder
	b.WriteString("no certificates found; looked at")
	for i, l := range e.Looked {
		if i > 0 {
			b.WriteByte(';')
		}
		if l.Dir == "" {
			fmt.Fprintf(&b, " %s's (%s)", l.Layout, strings.Join(l.Missing, ", "))
			continue
		}
		fmt.Fprintf(&b, " %s's %s, where these are missing: %s", l.Layout, l.Dir, strings.Join(l.Missing, ", "))
	}
	b.WriteString("; put the host's certificates in one of these places, or name the files in the configuration")
	return b.String()
}

// Find chooses the files. A layout is chosen if its CA file and a certificate with its key are
// there; whether they are good is for Load to say. The order is that of package layout.
//
// The error is a *NotFoundError, or says what is wrong with s.
func Find(s Search) (Found, error) {
	if s.Files.CA+s.Files.Cert+s.Files.Key != "" {
		return s.explicit()
	}
	all := layout.All()
	if s.Layout != "" {
		one, ok := layout.Named(s.Layout)
		if !ok {
			return Found{}, fmt.Errorf("layout %q is not known: use one of %s", s.Layout, strings.Join(layout.Names(), ", "))
		}
		all = []layout.Layout{one}
	}
	home, _ := os.UserHomeDir()
	var looked []Looked
	for _, l := range all {
		dir := s.Dir
		if dir == "" {
			if dir = l.DirIn(s.Root, home); dir == "" {
				looked = append(looked, Looked{Layout: l.Name, Missing: []string{"no home folder is known: HOME is not set"}})
				continue
			}
		}
		found, missing := search(l.At(dir))
		if len(missing) == 0 {
			found.Why, found.StaleCRL, found.Role = s.why(l.Name, dir, looked), s.StaleCRL, s.Role
			if s.Files.CRL != "" {
				found.CRL = s.Files.CRL
				found.Why += "; with the revocation list " + s.Files.CRL + ", as configured"
			}
			return found, nil
		}
		looked = append(looked, Looked{Layout: l.Name, Dir: dir, Missing: missing})
	}
	return Found{}, &NotFoundError{Looked: looked}
}

func (s Search) explicit() (Found, error) {
	f := s.Files
	if f.CA == "" || f.Cert == "" || f.Key == "" {
		return Found{}, errors.New("CA, certificate and key files go together: name all three, or none and let the layouts be searched")
	}
	p := []Pair{{Cert: f.Cert, Key: f.Key}}
	return Found{Layout: "files", CA: f.CA, CRL: f.CRL, StaleCRL: s.StaleCRL, Role: s.Role, Server: p, Client: p, Why: "named in the configuration"}, nil
}

func (s Search) why(name, dir string, looked []Looked) string {
	switch {
	case s.Layout != "":
		return fmt.Sprintf("%s's layout in %s, as configured", name, dir)
	case len(looked) == 0:
		return fmt.Sprintf("%s's layout in %s, the first that is searched", name, dir)
	}
	var before []string
	for _, l := range looked {
		before = append(before, l.Layout+"'s")
	}
	return fmt.Sprintf("%s's layout in %s; incomplete, so passed over: %s", name, dir, strings.Join(before, ", "))
}

// search looks for a layout's files. A role whose pair is not there borrows the other's.
func search(l layout.Layout) (Found, []string) {
	f := Found{Layout: l.Name, CA: l.CA}
	var missing []string
	if why := absent(l.CA); why != "" {
		missing = append(missing, why)
	}
	server, noServer := pairs(l.Server, l.Indexed)
	client, noClient := pairs(l.Client, l.Indexed)
	if len(server) == 0 && len(client) == 0 {
		missing = append(missing, noServer...)
		missing = append(missing, noClient...)
	}
	f.Server, f.Client = server, client
	if len(server) == 0 {
		f.Server = client
	}
	if len(client) == 0 {
		f.Client = server
	}
	// A CRL that is there and cannot be read must not be taken for one that is not there.
	if l.CRL != "" {
		if _, err := os.Stat(l.CRL); !errors.Is(err, fs.ErrNotExist) {
			f.CRL = l.CRL
		}
	}
	return f, missing
}

// maxIndexed is the number of indexed names, 0 to 3: libvirt docs/kbase/tlscerts.rst. They come
// after the name without an index, and end at the first that is missing.
const maxIndexed = 4

// pairs finds the pair p and, where the layout has them, its indexed variants.
func pairs(p Pair, indexed bool) (found []Pair, missing []string) {
	if p == (Pair{}) {
		return nil, nil
	}
	try := func(p Pair) bool {
		c, k := absent(p.Cert), absent(p.Key)
		if c == "" && k == "" {
			found = append(found, p)
			return true
		}
		for _, why := range []string{c, k} {
			if why != "" {
				missing = append(missing, why)
			}
		}
		return false
	}
	try(p)
	if indexed {
		n := len(missing)
		for i := range maxIndexed {
			if !try(atIndex(p, i)) {
				break
			}
		}
		missing = missing[:n]
	}
	return found, missing
}

// atIndex is servercert.pem → servercert0.pem.
func atIndex(p Pair, i int) Pair {
	at := func(path string) string {
		return fmt.Sprintf("%s%d.pem", strings.TrimSuffix(path, ".pem"), i)
	}
	return Pair{Cert: at(p.Cert), Key: at(p.Key)}
}

// absent returns "" if the file is there and can be read, else its name with the reason.
func absent(path string) string {
	fd, err := open(path)
	if err == nil {
		fd.Close()
		return ""
	}
	if errors.Is(err, fs.ErrNotExist) {
		return path
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return fmt.Sprintf("%s (%v)", path, pe.Err)
	}
	return fmt.Sprintf("%s (%v)", path, err)
}
