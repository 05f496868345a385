package gateway

import (
	"testing"

	"github.com/digitalocean/go-libvirt"
	"github.com/rs/zerolog"

	"github.com/virt-sluice/sluice/internal/config"
	"github.com/virt-sluice/sluice/internal/hosttest"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/host"
	"github.com/virt-sluice/sluice/proxy/peer"
	"github.com/virt-sluice/sluice/proxy/rundir"
	"github.com/virt-sluice/sluice/proxy/session"
	"github.com/virt-sluice/sluice/proxy/virt"
)

const aDescription = "<domain type='kvm'><name>web1</name><uuid>01000000-0000-0000-0000-000000000000</uuid></domain>"

func newFilter(t *testing.T) *destinationFilter {
	t.Helper()
	dir, err := rundir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dir.Close)
	h := &host.Host{
		Config: &config.Config{Name: "host-b", Limits: config.Limits{Channels: 2}}, State: &host.State{Dir: dir, Log: zerolog.Nop(), Sessions: session.NewRegistry(10, 10)},
		Libvirt: virt.Libvirt{Socket: t.TempDir() + "/none", Host: "host-b"},
	}
	return &destinationFilter{
		gateway: New(h, arrival.New(h)), peer: &peer.Peer{Name: "host-a"}, name: "host-a", access: config.AccessMigrate,
		log: zerolog.Nop(), coming: make(map[string]*preparedGuest),
	}
}

// A guest is its caller's once libvirt has prepared it for that caller, not once the caller has
// named it: until then libvirt may still say that it has such a guest already, which is another's.
func TestNamingAGuestGivesNoRightToIt(t *testing.T) {
	g := newFilter(t)
	uuid := libvirt.UUID{1}
	life, err := g.gateway.arrivals.Claim(t.Context(), arrival.Bringer{Name: "host-a", Session: "s"}, uuid, "web1", 0)
	if err != nil {
		t.Fatal(err)
	}
	a := &preparedGuest{guest: guest{name: "web1", id: uuid, uuid: virt.FormatUUID(uuid)}, life: life}
	g.expect(a)
	abort := func() *libvirtrpc.Error {
		return g.abort(new(libvirtrpc.Call), func([]byte) (libvirtrpc.Domain, error) {
			return libvirtrpc.Domain{Name: "web1", UUID: uuid}, nil
		}).Err
	}
	finish := func(cancelled uint32) *libvirtrpc.Error {
		return g.finish(t.Context(), new(libvirtrpc.Call), func([]byte) (*libvirtrpc.Finish, error) {
			return &libvirtrpc.Finish{Params: libvirtrpc.Params{}.With(libvirtrpc.ParamDestName, "web1"), Cancelled: cancelled}, nil
		}).Err
	}
	for what, refusal := range map[string]*libvirtrpc.Error{"abort": abort(), "Finish": finish(0), "Finish, cancelled": finish(1)} {
		if refusal == nil || refusal.Code != libvirtrpc.ErrAccessDenied {
			t.Errorf("%s before libvirt has answered Prepare: %v", what, refusal)
		}
	}
	a.prepared.Store(true)
	if refusal := abort(); refusal != nil {
		t.Error(refusal)
	}
	if refusal := finish(1); refusal != nil {
		t.Error(refusal)
	}
}

// A Prepare that names a session which is not its caller's begins no life, of which something would
// be noted under that name.
func TestPrepareNamesItsOwnSession(t *testing.T) {
	g := newFilter(t)
	for _, id := range []string{"", "../../planted", "0123456789abcdef0123456789abcdef"} {
		o := g.prepare(t.Context(), new(libvirtrpc.Call), func([]byte) (*libvirtrpc.Prepare, error) {
			return &libvirtrpc.Prepare{Params: libvirtrpc.Params{}.With(libvirtrpc.ParamDestXML, aDescription).With(paramSession, id)}, nil
		})
		if o.Err == nil || o.Err.Code != libvirtrpc.ErrAccessDenied {
			t.Errorf("session %q: %v", id, o.Err)
			continue
		}
		hosttest.Says(t, o.Err, "there is no session")
		if g.gateway.arrivals.Named("web1") != nil {
			t.Errorf("session %q: the guest is on its way", id)
		}
	}
}

// A guest that takes the place of one whose life is over ends what that one had opened, once.
func TestPlaceOfALostGuest(t *testing.T) {
	g := newFilter(t)
	ended := 0
	bring := func() *preparedGuest {
		life, err := g.gateway.arrivals.Claim(t.Context(), arrival.Bringer{Name: "host-a", Session: "s"}, libvirt.UUID{1}, "web1", 0)
		if err != nil {
			t.Fatal(err)
		}
		a := &preparedGuest{guest: guest{name: "web1"}, life: life, end: func(arrival.Verdict) { ended++ }}
		g.expect(a)
		return a
	}
	old := bring()
	old.life.End(arrival.NeverRan)
	now := bring()
	g.forget(old, arrival.NeverRan) // its Finish comes back late
	if ended != 1 || g.find("web1") != now {
		t.Errorf("it was ended %d times; %p is on its way, not %p", ended, g.find("web1"), now)
	}
}
