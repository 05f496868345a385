package rundir

import "testing"

// A session that can't have its folder leaves alone the one that is there, which is another's.
func TestSessionDirOfAnother(t *testing.T) {
	d, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	first, err := d.MakeSession("one", -1)
	if err != nil {
		t.Fatal(err)
	}
	again, err := d.MakeSession("one", -1)
	if err == nil || again.Made() {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := d.root.Stat(first.name); err != nil {
		t.Error(err)
	}
}
