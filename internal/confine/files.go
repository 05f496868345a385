package confine

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/proxy/tunnel/spec"
	"github.com/virt-sluice/sluice/tlsconf"
	"github.com/virt-sluice/sluice/tlsconf/layout"
)

// Files are folders that the daemon may use under Landlock, with all that is in them. Rules are for
// folders: a file that is replaced, as certificates are, is another file to the kernel.
type Files struct {
	Read    []string
	Write   []string // read, too
	Execute bool     // programs anywhere, which may then read everything
}

// ofHost is what any daemon reads: name resolution, users, time zones, where programs keep
// certificates and GnuTLS its settings; the kernel's tables, other processes, processors; and what
// appears under /run at its own time, such as resolv.conf and libvirt's pid files.
var ofHost = []string{"/etc", "/usr", "/lib", "/lib64", "/proc", "/sys", "/run", "/dev/null", "/dev/urandom"}

// scratch is where programs expect to be able to write.
var scratch = []string{"/tmp", "/var/tmp", "/dev"}

// FilesOf are those of a configuration.
func FilesOf(cfg *config.Config) Files {
	f := Files{Read: slices.Clone(ofHost), Write: []string{cfg.RunDir, "/dev/null"}}
	if cfg.StateDir != "" {
		f.Write = append(f.Write, cfg.StateDir)
	}
	f.Read = append(f.Read, cfg.QEMUPIDs)
	for _, file := range cfg.Files() {
		f.file(file)
	}
	f.file(tlsconf.SystemFile(os.Getenv, ""))
	home, _ := os.UserHomeDir()
	for _, l := range layout.All() {
		f.Read = append(f.Read, l.DirIn("", home))
	}
	f.certificates(cfg.Certificates)
	for _, t := range cfg.Tunnels {
		if t.Certificates.Given() {
			f.certificates(t.Certificates)
		}
		for _, text := range []string{t.Listen, t.To} {
			a, err := spec.ParseAddress(text)
			if err != nil {
				continue
			}
			switch {
			case a.Kind == spec.Unix && text == t.Listen:
				f.Write = append(f.Write, filepath.Dir(a.At))
			case a.Kind == spec.Exec && !f.Execute:
				f.Execute = true
				f.Write = append(f.Write, scratch...)
			}
		}
	}
	f.Read, f.Write = tidy(f.Read), tidy(f.Write)
	return f
}

// certificates adds the folders of the files that are used now, and of those that they are links to.
func (f *Files) certificates(c config.Certificates) {
	if c.SPIFFE != "" {
		return
	}
	if c.Dir != "" {
		f.Read = append(f.Read, c.Dir)
	}
	found, err := tlsconf.Find(c.Search())
	if err != nil {
		return // which loading them will tell
	}
	for _, path := range found.Paths() {
		f.file(path)
	}
}

func (f *Files) file(path string) {
	if path == "" {
		return
	}
	f.Read = append(f.Read, filepath.Dir(path))
	if target, err := filepath.EvalSymlinks(path); err == nil {
		f.Read = append(f.Read, filepath.Dir(target))
	}
}

// tidy makes paths absolute and leaves out those within others.
func tidy(paths []string) (tidied []string) {
	for i, p := range paths {
		paths[i], _ = filepath.Abs(p)
	}
	slices.Sort(paths)
	for _, p := range paths {
		if !slices.ContainsFunc(tidied, func(t string) bool { return within(p, t) }) {
			tidied = append(tidied, p)
		}
	}
	return tidied
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}
