package gateway

import (
	"slices"
	"testing"

	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/intercept/rules"
	"github.com/virt-sluice/sluice/proxy/intercept/rules/rulestest"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/transfer"
)

// What is closed the kernel says: intercept.ports was made wider, and nobody
// has run `sluice intercept up` since.
func TestCoveredByTheKernel(t *testing.T) {
	rulestest.Close(t, 49152, 49160)
	gw := New(&host.Host{State: new(host.State), Config: &config.Config{Name: "host-b", Intercept: &config.Intercept{Port: 16516, Ports: "49152-49300"}}}, nil)
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
		ports, refusal := gw.checkPorts(&libvirtrpc.Reply{Body: prepared.Encode()}, uris("tcp:host-b"), disks)
		if want := uri == "tcp:host-b:49152"; refusal == nil && want != slices.Contains(ports, 49152) {
			t.Errorf("%s, %s: the guest is awaited at %v", uri, cookie, ports)
		}
		return refusal
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

	// So it is beside a session, too, which a source that requires no security opens for it.
	g := &destinationFilter{gateway: gw, peer: new(peer.Peer), access: config.AccessMigrate, log: zerolog.Nop()}
	data := transfer.Transfer{By: session.ByNothing, InClear: "memory by tcp:"}
	if w, refusal := g.wayOf(nil, uris("tcp:host-b"), &data, true, false); refusal != nil || w != bySession || data.By != session.ByInterception {
		t.Errorf("beside a session: %v, %+v, %+v", w, data, refusal)
	}
	if g.closedPorts(&preparedGuest{transfer: data}, uris("tcp:host-b")) == nil {
		t.Error("nobody looks which ports libvirt chooses")
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
