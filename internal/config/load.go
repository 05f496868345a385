package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// maxFile bounds each file, in bytes: a fleet of a thousand peers takes some 100 KiB.
const maxFile = 4 << 20

// Load reads, checks and completes the configuration: the file at path, and those of the folder
// conf.d beside it. Its error holds one *Fault for each thing wrong, joined; nothing is half-loaded.
func Load(path string) (*Config, error) {
	files, err := readFiles(path)
	if err != nil {
		return nil, err
	}
	return parse(files)
}

// LoadWith is Load as it would be with this content in a file: in path, or in one of conf.d beside it.
func LoadWith(path, file string, data []byte) (*Config, error) {
	if _, err := os.Stat(path); file == path && errors.Is(err, fs.ErrNotExist) {
		return Parse(file, data)
	}
	files, err := readFiles(path)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(files, func(s source) bool { return s.name == file })
	if i < 0 {
		files, i = append(files, source{}), len(files)
	}
	files[i] = source{file, data}
	slices.SortFunc(files[1:], func(a, b source) int { return strings.Compare(a.name, b.name) })
	return parse(files)
}

// Parse is Load on one file's content; file is its name, for faults.
func Parse(file string, data []byte) (*Config, error) { return parse([]source{{file, data}}) }

// parse is Load on files that have been read; there is one at least.
func parse(files []source) (*Config, error) {
	doc := new(document)
	cfg := &doc.Config
	c := &checker{lines: &lines{at: map[string]place{}}}
	all := true
	for _, f := range files {
		cfg.files = append(cfg.files, f.name)
		ix := lineIndex(f.name, f.data)
		usable, faults, wrong := doc.decode(f.name, f.data, ix)
		c.faults = append(c.faults, faults...)
		c.merge(ix, wrong)
		all = all && usable
	}
	c.files = cfg.files
	if !all {
		return nil, c.joined()
	}
	cfg.sum = sumOf(files)
	c.host(cfg)
	c.users(cfg)
	c.tls(cfg)
	c.landlock(cfg)
	c.kernelTLS(&cfg.KernelTLS)
	cfg.Certificates = doc.Certificates.Certificates
	c.certificates("certificates", &cfg.Certificates, &doc.Certificates)
	cfg.Limits = doc.Limits.Limits
	c.limits(&cfg.Limits, &doc.Limits)
	c.peers(cfg)
	c.aliases(cfg)
	c.migrateURI(cfg)
	c.auto(&cfg.Auto)
	c.clients(cfg)
	c.accepts(cfg)
	cfg.Tunnels = nil
	c.tunnels(cfg, doc.Tunnels)
	c.priorities(cfg)
	c.intercept(cfg)
	c.sockets(cfg)
	if len(c.faults) > 0 {
		return nil, c.joined()
	}
	return cfg, nil
}

// joined has the faults in the order of the files.
func (c *checker) joined() error {
	slices.SortStableFunc(c.faults, func(a, b error) int {
		x, y := a.(*Fault), b.(*Fault)
		return cmp.Or(cmp.Compare(slices.Index(c.files, x.File), slices.Index(c.files, y.File)), cmp.Compare(x.Line, y.Line))
	})
	return errors.Join(c.faults...)
}

// checker collects faults.
type checker struct {
	files  []string // faults without a line are of the first
	lines  *lines
	faults []error
	wrong  [][]string // keys that were not decoded, so that their absence is no fault
}

func (c *checker) fault(key, format string, args ...any) {
	for _, w := range c.wrong {
		if within(key, join(w)) || within(join(w), key) {
			return
		}
	}
	at := c.lines.of(key)
	c.faults = append(c.faults, &Fault{File: cmp.Or(at.file, c.files[0]), Line: at.line, Key: key, Reason: fmt.Sprintf(format, args...)})
}

// within says whether a key is another one, or stands in the table of that name.
func within(key, table string) bool {
	key, table = strings.ToLower(key), strings.ToLower(table)
	return key == table || strings.HasPrefix(key, table+".")
}
