package intercept

import (
	"errors"
	"testing"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/proxy/intercept/rules/rulestest"
)

// What is closed the kernel says: intercept.ports was made wider, and nobody
// has run `sluice intercept up` since.
func TestStatusOfOtherPorts(t *testing.T) {
	rulestest.Close(t, 49152, 49160)
	st := Status(&config.Intercept{Port: 16516, Ports: "49152-49300"})
	if st.Problem == "" {
		t.Fatal("the status has no problem")
	}
	hosttest.Says(t, errors.New(st.Problem), "closes the ports 49152-49160", "intercept.ports is 49152-49300", "`sluice intercept up`")
}
