package gateway

import (
	"testing"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/intercept/rules"
	"github.com/virt-sluice/sluice/proxy/intercept/rules/rulestest"
)

// What is closed the kernel says: intercept.ports was made wider, and nobody
// has run `sluice intercept up` since.
func TestCoveredByTheKernel(t *testing.T) {
	rulestest.Close(t, 49152, 49160)
	gw := New(&host.Host{Config: &config.Config{Name: "host-b", Intercept: &config.Intercept{Port: 16516, Ports: "49152-49300"}}}, nil)
	uris := func(uri string) libvirtrpc.Params {
		return libvirtrpc.Params{}.With(libvirtrpc.ParamURI, uri)
	}
	for uri, want := range map[string]bool{
		"tcp:host-b": true, "tcp:host-b:49160": true, "tcp://host-b:49152": true,
		"tcp:host-b:49161": false, "tcp://host-b:49300": false, "tcp:host-b:49151": false, "unix:/run/x": false,
	} {
		if is := gw.coveredByInterception(uris(uri)); is != want {
			t.Errorf("%s is covered: %t", uri, is)
		}
		if is := gw.coveredByInterception(uris("tcp:host-b").With(libvirtrpc.ParamDisksURI, uri)); is != want {
			t.Errorf("disks by %s are covered: %t", uri, is)
		}
	}

	check := func(uri, cookie string, disks bool) *libvirtrpc.Error {
		prepared := &libvirtrpc.Prepared{Cookie: []byte(cookie), URI: &uri}
		return gw.checkPorts(&libvirtrpc.Reply{Body: prepared.Encode()}, uris("tcp:host-b"), disks)
	}
	inside, outside := "<qemu-migration><nbd port='49153'/></qemu-migration>", "<qemu-migration><nbd port='49200'/></qemu-migration>"
	for _, c := range []struct{ uri, cookie string }{
		{"tcp:host-b:49152", inside}, {"tcp:host-b:49152", ""}, {"tcp:host-b:49152", "<qemu-migration></qemu-migration>"},
	} {
		if err := check(c.uri, c.cookie, true); err != nil {
			t.Errorf("%s %s: %v", c.uri, c.cookie, err)
		}
	}
	if err := check("tcp:host-b:49152", outside, false); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		err  *libvirtrpc.Error
		word string
	}{
		{check("tcp:host-b:49200", inside, true), `waits for the guest at "tcp:host-b:49200"`},
		{check("tcp:host-b:49152", outside, true), "waits for the guest's disks at port 49200"},
	} {
		if c.err == nil {
			t.Errorf("no error; want %q", c.word)
			continue
		}
		hosttest.Says(t, c.err, c.word, "the kernel has closed 49152-49160", "`sluice intercept up`")
	}

	if _, err := rules.Down(); err != nil {
		t.Fatal(err)
	}
	if gw.coveredByInterception(uris("tcp:host-b")) {
		t.Error("covered by nothing")
	}
	if err := check("tcp:host-b:49152", inside, true); err == nil {
		t.Error("no error, though interception was turned off meanwhile")
	}
}
