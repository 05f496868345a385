package rundir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Keep writes a file that outlives this daemon, whole or not at all.
func (d *Dir) Keep(name string, content []byte) (err error) {
	path, next := filepath.Join(departuresDir, name), filepath.Join(departuresDir, name+newSuffix)
	f, err := d.root.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err == nil {
		if _, err = f.Write(content); err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
	}
	if err == nil {
		err = d.root.Rename(next, path)
	}
	if err == nil {
		err = d.syncKept()
	}
	if err != nil {
		return fmt.Errorf("write %s in %s: %w", path, d.path, err)
	}
	return nil
}

// syncKept makes what was done in the folder outlast a crash of the host.
func (d *Dir) syncKept() error {
	f, err := d.root.Open(departuresDir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Forget removes a kept file.
func (d *Dir) Forget(name string) error {
	if err := d.root.Remove(filepath.Join(departuresDir, name)); err != nil {
		return fmt.Errorf("remove %s in %s: %w", name, d.path, err)
	}
	return d.syncKept()
}

// Kept reads the kept files, those of earlier daemons included. A file is at most maxKept bytes.
func (d *Dir) Kept() (map[string][]byte, error) {
	f, err := d.root.Open(departuresDir)
	if err != nil {
		return nil, fmt.Errorf("read the folder %s in %s: %w", departuresDir, d.path, err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("read the folder %s in %s: %w", departuresDir, d.path, err)
	}
	files := make(map[string][]byte)
	for _, name := range names {
		if filepath.Ext(name) == newSuffix { // not finished, or never will be
			continue
		}
		content, err := d.readKept(name)
		if err != nil {
			return nil, fmt.Errorf("read %s in %s: %w", filepath.Join(departuresDir, name), d.path, err)
		}
		files[name] = content
	}
	return files, nil
}

const maxKept = 64 << 10

func (d *Dir) readKept(name string) ([]byte, error) {
	f, err := d.root.Open(filepath.Join(departuresDir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxKept))
}
