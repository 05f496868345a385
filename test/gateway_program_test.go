package test

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"

	"github.com/virt-sluice/sluice/internal/lab"
	"github.com/virt-sluice/sluice/internal/libvirtrpc"
)

// libvirtAt opens qemu:///system at a unix socket of a host's.
func (s *site) libvirtAt(h *lab.Host, socket string) *libvirt.Libvirt {
	s.t.Helper()
	c, err := net.Dial("unix", h.Path(socket))
	s.check(err)
	v := libvirt.NewWithDialer(dialers.NewAlreadyConnected(c))
	s.t.Cleanup(func() { c.Close() })
	s.check(v.ConnectToURI(libvirt.QEMUSystem))
	return v
}

const peerSocket = "/run/sluice/peers/host-b/libvirt.sock"

// A program that speaks version 3 without parameters, as libvirt before 1.1.0
// did, is carried all the same; version 2 is refused in words.
func TestOlderProtocol(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	src, dst := s.libvirtAt(s.A, "/run/libvirt/libvirt-sock"), s.libvirtAt(s.A, peerSocket)
	dom, err := src.DomainLookupByName(g.Name)
	s.check(err)
	const flags = uint64(libvirt.MigrateLive)

	_, _, err = dst.DomainMigratePrepare2(nil, flags, nil, 0, "<domain/>")
	if err == nil {
		t.Fatal("version 2 was carried")
	}
	says(t, "Prepare2", err.Error(), "old form", "1.1.0", "sluice migrate")
	if _, _, err = dst.DomainMigrateBegin3(dom, nil, flags, nil, 0); err == nil {
		t.Fatal("a guest was taken by the old form")
	}
	says(t, "Begin3", err.Error(), "old form", "DOMAIN_MIGRATE_BEGIN3", "1.1.0")

	cookie, xml, err := src.DomainMigrateBegin3(dom, nil, flags, nil, 0)
	s.check(err)
	cookie, uri, err := dst.DomainMigratePrepare3(cookie, nil, flags, nil, 0, xml)
	s.check(err)
	if len(uri) != 1 || !strings.HasPrefix(uri[0], "unix:///run/sluice/sessions/") {
		t.Fatalf("uri_out is %q", uri)
	}
	cookie, err = src.DomainMigratePerform3(dom, nil, cookie, nil, uri, flags, nil, 0)
	s.check(err)
	_, cookie, err = dst.DomainMigrateFinish3(g.Name, cookie, nil, nil, flags, 0)
	s.check(err)
	s.check(src.DomainMigrateConfirm3(dom, cookie, flags, 0))
	s.check(dst.Disconnect())
	s.check(src.Disconnect())
	s.check(s.CheckOnlyOn(s.ctx, g, s.B))
	a.steered(b, g, "sluice")
	s.nothingLeft()
}

// Many migrations at once over one connection.
func TestManyOverOneConnection(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a, b := s.both(conf{})
	dst := s.libvirtAt(s.A, peerSocket)
	var guests []*lab.Guest
	for i := range 3 {
		guests = append(guests, s.guest(lab.GuestSpec{Name: fmt.Sprintf("g%d", i)}))
	}
	flags := uint32(libvirt.MigrateLive)
	var all sync.WaitGroup
	errs := make([]error, len(guests))
	for i, g := range guests {
		src := s.libvirtAt(s.A, "/run/libvirt/libvirt-sock")
		all.Go(func() {
			errs[i] = func() error {
				dom, err := src.DomainLookupByName(g.Name)
				if err != nil {
					return err
				}
				params := []libvirt.TypedParam{
					{Field: libvirt.MigrateParamDestName, Value: *libvirt.NewTypedParamValueString(g.Name)},
					{Field: libvirt.MigrateParamBandwidth, Value: *libvirt.NewTypedParamValueUllong(32)},
				}
				cookie, xml, err := src.DomainMigrateBegin3Params(dom, params, flags)
				if err != nil {
					return err
				}
				prepare := append(params[:2:2], libvirt.TypedParam{Field: libvirt.MigrateParamDestXML, Value: *libvirt.NewTypedParamValueString(xml)})
				cookie, uri, err := dst.DomainMigratePrepare3Params(prepare, cookie, flags)
				if err != nil {
					return err
				}
				perform := append(params[:2:2], libvirt.TypedParam{Field: libvirt.MigrateParamURI, Value: *libvirt.NewTypedParamValueString(uri[0])})
				cookie, err = src.DomainMigratePerform3Params(dom, nil, perform, cookie, libvirt.MigrateLive)
				if err != nil {
					return err
				}
				_, cookie, err = dst.DomainMigrateFinish3Params(params, cookie, flags, 0)
				if err != nil {
					return err
				}
				return src.DomainMigrateConfirm3Params(dom, params, cookie, flags, 0)
			}()
			src.Disconnect()
		})
	}
	s.wait("three sessions beside the connection's", 30*time.Second, func() bool { return len(b.status().Sessions) == 4 })
	all.Wait()
	for _, err := range errs {
		s.check(err)
	}
	s.check(dst.Disconnect())
	for _, g := range guests {
		s.check(s.CheckOnlyOn(s.ctx, g, s.B))
		a.steered(b, g, "sluice")
	}
	s.nothingLeft()
}

// A client that prepares a guest and goes away leaves nothing behind, and one
// that only may migrate can't touch what is another's.
func TestClientGoesAway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	_, b := s.both(conf{})
	g := s.guest(lab.GuestSpec{})
	src, dst, other := s.libvirtAt(s.A, "/run/libvirt/libvirt-sock"), s.libvirtAt(s.A, peerSocket), s.libvirtAt(s.A, peerSocket)
	dom, err := src.DomainLookupByName(g.Name)
	s.check(err)
	flags := uint32(libvirt.MigrateLive)
	cookie, xml, err := src.DomainMigrateBegin3Params(dom, nil, flags)
	s.check(err)
	params := []libvirt.TypedParam{{Field: libvirt.MigrateParamDestXML, Value: *libvirt.NewTypedParamValueString(xml)}}
	_, _, err = dst.DomainMigratePrepare3Params(params, cookie, flags)
	s.check(err)

	// While it is prepared, another connection can neither finish nor abort it.
	name := []libvirt.TypedParam{{Field: libvirt.MigrateParamDestName, Value: *libvirt.NewTypedParamValueString(g.Name)}}
	_, _, err = other.DomainMigrateFinish3Params(name, nil, flags, 0)
	if err == nil {
		t.Fatal("another connection finished the guest")
	}
	says(t, "Finish", err.Error(), "access denied: ", "was not prepared over this connection")
	if err = other.DomainAbortJob(dom); err == nil {
		t.Fatal("another connection aborted the guest")
	}
	says(t, "AbortJob", err.Error(), "access denied: ")
	// The guest can't be sent a second time meanwhile.
	if _, _, err = other.DomainMigratePrepare3Params(params, cookie, flags); err == nil {
		t.Fatal("the guest was prepared twice")
	}
	says(t, "Prepare", err.Error(), "is already being migrated")

	s.check(dst.Disconnect())
	s.check(src.Disconnect())
	s.check(other.Disconnect())
	for _, d := range s.daemons {
		d.ended()
		for _, e := range d.status().Ended {
			if e.Kind == "steered" {
				says(t, d.host.Name, e.Cause, "the libvirt client's connection ended before the migration did")
			}
		}
	}
	b.logged("access denied", "DOMAIN_MIGRATE_FINISH3_PARAMS")
	s.onlyOn(g, s.A)
}

// libvirtd would take file descriptors; sluice can't carry them.
func TestNoFileDescriptors(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.both(conf{})
	for _, socket := range []string{"/run/libvirt/libvirt-sock", peerSocket} {
		v := s.libvirtAt(s.A, socket)
		supported, err := v.ConnectSupportsFeature(libvirtrpc.FeatureFDPassing)
		s.check(err)
		if direct := filepath.Base(socket) == "libvirt-sock"; (supported != 0) != direct {
			t.Errorf("%s says %d", socket, supported)
		}
		s.check(v.Disconnect())
	}
	s.nothingLeft()
}
