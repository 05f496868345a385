package rundir

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"testing"
)

// A token is whole once it has its name, and whoever comes later keeps it.
func TestToken(t *testing.T) {
	d, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for range 100 {
		if err := d.root.RemoveAll(WebToken); err != nil {
			t.Fatal(err)
		}
		first := make(chan string)
		go func() {
			for {
				if token, err := d.Token(); !errors.Is(err, fs.ErrNotExist) {
					first <- token
					return
				}
			}
		}()
		errs := []error{d.MakeToken(nil), d.MakeToken(nil)}
		seen := <-first
		token, err := d.Token()
		if err := errors.Join(append(errs, err)...); err != nil || len(token) != len(rand.Text()) || seen != token {
			t.Fatalf("at first %q, then %q, %v", seen, token, err)
		}
	}
	if left, err := fs.Glob(d.root.FS(), "*"+newSuffix); len(left) != 0 || err != nil {
		t.Errorf("left: %q, %v", left, err)
	}
}

// What a process was writing when it was killed is no token, and goes with the next.
func TestTokenHalfWritten(t *testing.T) {
	path := t.TempDir()
	if err := os.WriteFile(path+"/"+WebToken+".ABC"+newSuffix, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if token, err := d.Token(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%q, %v", token, err)
	}
	if left, err := fs.Glob(d.root.FS(), "*"+newSuffix); len(left) != 0 || err != nil {
		t.Errorf("left: %q, %v", left, err)
	}
}
