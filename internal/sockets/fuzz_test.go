package sockets

import "testing"

// FuzzParse: a line of any kind is a socket or none.
func FuzzParse(f *testing.F) {
	f.Add("   0: 0100007F:4082 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 26384 1 0000000000000000 100 0 0 10 0")
	f.Add("   1: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 0:0 0:0 0 64055 0 1")
	f.Fuzz(func(t *testing.T, line string) {
		if s, ok := parse(line); ok && (!s.local.IsValid() || !s.remote.IsValid() || s.inode == "") {
			t.Errorf("%q is %+v", line, s)
		}
	})
}
