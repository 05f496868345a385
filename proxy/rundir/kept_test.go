package rundir

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What is kept outlives the daemon, and what was being written when it was killed does not count.
func TestKept(t *testing.T) {
	path := t.TempDir()
	open := func() *Dir {
		d, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := open()
	if kept, err := d.Kept(); len(kept) != 0 || err != nil {
		t.Fatalf("at first: %v, %v", kept, err)
	}
	for _, content := range []string{"first", "second"} {
		if err := d.Keep("one", []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Keep("two", nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, departuresDir, "three.new"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.Close()
	d = open()
	kept, err := d.Kept()
	if err != nil || string(kept["one"]) != "second" || !slices.Equal(slices.Sorted(maps.Keys(kept)), []string{"one", "two"}) {
		t.Errorf("%q, %v", kept, err)
	}
	for name := range kept {
		if err := d.Forget(name); err != nil {
			t.Error(err)
		}
	}
	d.Close()
	if left, err := os.ReadDir(filepath.Join(path, departuresDir)); len(left) != 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
}
