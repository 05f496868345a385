package test

import (
	"testing"
	"time"

	"github.com/virt-sluice/sluice/internal/lab"
)

// Whoever asks libvirt at the source for something of QEMU's while that is stopped, such as a client
// that shows how far the migration is, has an answer once it is known that the guest runs at the
// destination; and libvirt is not kept from ending QEMU.
func TestFenceQuestions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		led  bool
		args []string
	}{
		{"peer to peer", false, []string{"--p2p"}},
		{"managed", false, nil},
		{"led, peer to peer", true, []string{"--p2p"}},
		{"led, managed", true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			a, b := s.both(conf{limits: defaults})
			uri := a.uri()
			if c.led {
				uri = s.tlsURI("host-a")
			}
			st := s.inFinishBy(uri, a, b, lab.GuestSpec{}, c.args...)
			asked := make(chan error, 1)
			go func() {
				_, err := s.A.Virsh(s.ctx, "domjobinfo", st.g.Name)
				asked <- err
			}()
			s.wait("libvirt on host-a asks QEMU", 30*time.Second, func() bool {
				state, err := s.A.Virsh(s.ctx, "domcontrol", st.g.Name)
				return err == nil && state != "ok"
			})
			st.takenOver()
			st.v.moves()
			if err := <-asked; err != nil {
				t.Errorf("who asked is told: %v", err)
			}
			s.onlyOn(st.g, s.B)
		})
	}
}
