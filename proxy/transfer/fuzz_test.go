package transfer

import (
	"strings"
	"testing"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/session"
)

// FuzzOf: how a migration's data goes is said for any URI, and nothing that a client names itself
// is taken for a session's.
func FuzzOf(f *testing.F) {
	f.Add(uint32(0), "tcp:host-b", "")
	f.Add(uint32(1<<6), "tcp://[::1]:49152", "unix:///run/x")
	f.Add(uint32(1<<16), "", "tcp:\x00")
	f.Fuzz(func(t *testing.T, flags uint32, uri, disks string) {
		params := libvirtrpc.Params{}.With(libvirtrpc.ParamURI, uri)
		if disks != "" {
			params = params.With(libvirtrpc.ParamDisksURI, disks)
		}
		how, err := Of(flags, params)
		if err != nil || how.Steered {
			t.Errorf("%q, %q: %+v, %v", uri, disks, how, err)
		}
		if memory, ofDisks := how.Protection(); memory == session.BySluice || ofDisks == session.BySluice {
			t.Errorf("%q, %q are said to be protected: %q, %q", uri, disks, memory, ofDisks)
		}
		if u, err := ParseTCP(uri); err == nil && (u.Scheme != "tcp" || !strings.HasPrefix(strings.ToLower(uri), "tcp:")) {
			t.Errorf("%q is %+v", uri, u)
		}
	})
}
