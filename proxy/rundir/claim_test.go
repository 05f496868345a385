package rundir

import (
	"os"
	"testing"
)

// What one process has claimed no other gets, until it gives it up or ends.
func TestClaim(t *testing.T) {
	path := t.TempDir()
	first, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Follow(path, lock)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	want := func(what string, d *Dir, name string, want bool) {
		t.Helper()
		if is, err := d.Claim(name); is != want || err != nil {
			t.Errorf("%s: %v, %v", what, is, err)
		}
	}
	want("the first of two", first, "web1", true)
	want("again", first, "web1", true)
	want("the second of two", second, "web1", false)
	want("another guest", second, "web2", true)
	want("the other way round", first, "web2", false)
	if err := first.Unclaim("web1"); err != nil {
		t.Error(err)
	}
	want("after it was given up", second, "web1", true)
	want("what is to be left by an end", first, "web3", true)
	first.Share(true)
	first.Close()
	want("after the first has ended", second, "web3", true)
}
