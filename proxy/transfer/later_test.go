package transfer

import (
	"testing"

	"github.com/virt-sluice/sluice/internal/libvirtrpc"
)

// A flag and a parameter that only a newer libvirt knows change nothing of how data goes.
func TestLaterLibvirt(t *testing.T) {
	const known, later = 1<<0 | 1<<6, 1<<30 | 1<<31
	how, err := Of(known|later, libvirtrpc.Params{}.WithUlong("later.limit", 7))
	if err != nil || !how.Steered || how.InClear != "" || uint32(how.Flags) != known|later {
		t.Errorf("%+v, %v", how, err)
	}
	if without, err := Of(known, nil); err != nil || how.By != without.By || how.Channels != without.Channels {
		t.Errorf("with what is unknown %+v, without it %+v, %v", how, without, err)
	}
}
