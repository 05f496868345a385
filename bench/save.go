package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Save writes relay.json, relay.txt and relay.svg into a folder, in place of
// those of the run before.
func (rep *Report) Save(dir string) error { return Save(dir, "relay", rep) }

// Saved is what Save can write, besides its JSON.
type Saved interface {
	Write(io.Writer) error // for a person
	Plot(io.Writer) error
}

// Save writes NAME.json, NAME.txt and NAME.svg into a folder, in place of those of the run before.
func Save(dir, name string, rep Saved) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for suffix, write := range map[string]func(io.Writer) error{
		".json": func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", " ")
			return enc.Encode(rep)
		},
		".txt": rep.Write,
		".svg": rep.Plot,
	} {
		path := filepath.Join(dir, name+suffix)
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		err = write(f)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}
