package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// maxFile bounds the file, in bytes: a fleet of a thousand peers takes some 100 KiB.
const maxFile = 4 << 20

// Load reads, checks and completes the configuration at path. Its error holds
// one *Fault for each thing wrong, joined; nothing is half-loaded.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("configuration %s does not exist: write one (docs/config.md has examples) or name another with --config", path)
		}
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if len(data) > maxFile {
		return nil, &Fault{File: path, Reason: fmt.Sprintf("larger than %d bytes; is this the right file?", maxFile)}
	}
	return Parse(path, data)
}

// Parse is Load on a file's content; file is its name, for faults.
func Parse(file string, data []byte) (*Config, error) {
	ix := lineIndex(data)
	doc, faults, wrong := decode(file, data, ix)
	if doc == nil {
		return nil, joined(faults)
	}
	cfg := &doc.Config
	c := &checker{file: file, lines: ix, faults: faults, wrong: wrong}
	c.host(cfg)
	c.users(cfg)
	c.tls(cfg)
	c.kernelTLS(&cfg.KernelTLS)
	cfg.Certificates = doc.Certificates.Certificates
	c.certificates("certificates", &cfg.Certificates, &doc.Certificates)
	cfg.Limits = doc.Limits.Limits
	c.limits(&cfg.Limits, &doc.Limits)
	c.peers(cfg)
	c.clients(cfg)
	c.accepts(cfg)
	cfg.Tunnels = nil
	c.tunnels(cfg, doc.Tunnels)
	c.priorities(cfg)
	c.intercept(cfg)
	c.sockets(cfg)
	if len(c.faults) > 0 {
		return nil, joined(c.faults)
	}
	return cfg, nil
}

// joined has the faults in the order of the file.
func joined(faults []error) error {
	slices.SortStableFunc(faults, func(a, b error) int { return cmp.Compare(a.(*Fault).Line, b.(*Fault).Line) })
	return errors.Join(faults...)
}

// checker collects faults.
type checker struct {
	file   string
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
	c.faults = append(c.faults, &Fault{File: c.file, Line: c.lines.of(key), Key: key, Reason: fmt.Sprintf(format, args...)})
}

// within says whether a key is another one, or stands in the table of that name.
func within(key, table string) bool {
	key, table = strings.ToLower(key), strings.ToLower(table)
	return key == table || strings.HasPrefix(key, table+".")
}
