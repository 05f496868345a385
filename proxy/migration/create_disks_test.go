package migration

import (
	"testing"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/stream"
)

// A sluice from before --create-disks does not know the call, in the words that one has today for a
// call that it does not know.
func TestOlderSluiceMakesNoDisks(t *testing.T) {
	_, err := new(arrival.Migration).Call(t.Context(), "not known", nil)
	if err == nil {
		t.Fatal("it is known")
	}
	m := &outgoing{req: &control.MigrateRequest{CreateDisks: true}, peer: &peer.Peer{Name: "host-b"}}
	call := &arrival.PrepareCall{CreateDisks: map[string]arrival.CreateDisk{"vda": {Size: 1}}}
	told := m.prepareFailed(t.Context(), call, &stream.Cause{Code: stream.CodeRefused, Host: "host-b", Text: err.Error()})
	hosttest.Says(t, told, "the sluice on host-b is older", "update it, or leave out --create-disks")
}
