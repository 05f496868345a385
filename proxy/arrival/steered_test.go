package arrival

import (
	"testing"

	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/stream"
)

// A peer chooses the ID of its session, and may name it to a Prepare before it is open.
func TestClaimTooEarly(t *testing.T) {
	var ss SteeredSessions
	s := &Steered{Info: stream.Info{ID: stream.NewID(), Peer: "host-a"}}
	ss.add(s)
	_, err := ss.Claim(s.Info.ID, "host-a")
	hosttest.Says(t, err, "is not open yet")
	s.session = new(stream.Session)
	_, err = ss.Claim(s.Info.ID, "host-b")
	hosttest.Says(t, err, "there is no session")
	if got, err := ss.Claim(s.Info.ID, "host-a"); err != nil || got != s {
		t.Errorf("%v, %v", got, err)
	}
	_, err = ss.Claim(s.Info.ID, "host-a")
	hosttest.Says(t, err, "has a guest already")
}
