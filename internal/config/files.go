package config

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// folder is where more files lie, beside the first.
const folder = "conf.d"

// source is one file of a configuration, as it was read.
type source struct {
	name string
	data []byte
}

// Sum tells one state of a configuration's files from another.
type Sum [sha256.Size]byte

// ReadSum is the sum of the files as they are now. Whether they are any good it does not say.
func ReadSum(path string) (Sum, error) {
	files, err := readFiles(path)
	if err != nil {
		return Sum{}, err
	}
	return sumOf(files), nil
}

func sumOf(files []source) (s Sum) {
	h := sha256.New()
	for _, f := range files {
		for _, part := range [][]byte{[]byte(f.name), f.data} {
			binary.Write(h, binary.BigEndian, uint64(len(part)))
			h.Write(part)
		}
	}
	h.Sum(s[:0])
	return s
}

// readFiles reads the file at path, then those of conf.d in the order of their names.
func readFiles(path string) ([]source, error) {
	main, err := readFile(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("configuration %s does not exist: write one (docs/config.md has examples) or name another with --config", path)
	}
	if err != nil {
		return nil, err
	}
	files := []source{main}
	dir := filepath.Join(filepath.Dir(path), folder)
	entries, err := os.ReadDir(dir) // sorted by name
	if errors.Is(err, fs.ErrNotExist) {
		return files, nil
	}
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return !strings.HasSuffix(e.Name(), ".toml") || e.Name()[0] == '.'
	})
	if len(entries) == 0 {
		return files, nil
	}
	st, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if err := trusted(dir, st); err != nil {
		return nil, err
	}
	var faults []error
	for _, e := range entries {
		f, err := readFile(filepath.Join(dir, e.Name()), trusted)
		if err != nil {
			faults = append(faults, err)
		}
		files = append(files, f)
	}
	return files, errors.Join(faults...)
}

// readFile reads a file if allowed, which may be nil, does not object to who can change it.
func readFile(path string, allowed func(string, fs.FileInfo) error) (source, error) {
	f, err := os.Open(path)
	if err != nil {
		return source{}, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	if allowed != nil {
		st, err := f.Stat()
		if err == nil {
			err = allowed(path, st)
		}
		if err != nil {
			return source{}, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return source{}, fmt.Errorf("configuration: %w", err)
	}
	if len(data) > maxFile {
		return source{}, &Fault{File: path, Reason: fmt.Sprintf("larger than %d bytes; is this the right file?", maxFile)}
	}
	return source{path, data}, nil
}

// trusted says what is wrong with who may write to a file of conf.d, or to conf.d itself. Nobody
// has named these files: they count because they are there, so whoever can put one there decides
// whom this host lets in.
func trusted(path string, st fs.FileInfo) error {
	owner := int(st.Sys().(*syscall.Stat_t).Uid)
	switch {
	case owner != 0 && owner != os.Geteuid():
		return &Fault{File: path, Reason: fmt.Sprintf("is owned by uid %d, and whoever owns it decides whom this host lets in: chown root %s", owner, path)}
	case st.Mode().Perm()&0o022 != 0:
		return &Fault{File: path, Reason: fmt.Sprintf("can be written by others than its owner (mode %04o), who could decide whom this host lets in: chmod go-w %s", st.Mode().Perm(), path)}
	}
	return nil
}

// Files are those that the configuration was read from, the first one first.
func (c *Config) Files() []string { return c.files }

// Sum is that of the files that the configuration was read from.
func (c *Config) Sum() Sum { return c.sum }
