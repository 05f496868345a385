package migration

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/virt-sluice/sluice/internal/domainxml"
	"github.com/virt-sluice/sluice/proxy/arrival"
	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/stream"
)

// disksToMake are those that are to be made where the destination lacks them, by their targets, and
// their paths there: of those that are copied, the ones that are files by the destination's
// description.
func (m *outgoing) disksToMake(ctx context.Context, description string) (create map[string]arrival.CreateDisk, paths []string, err error) {
	if !m.req.CreateDisks {
		return nil, nil, nil
	}
	if _, without := m.session.(*withoutSluice); without {
		return nil, nil, m.makesNone()
	}
	chosen := m.req.Values.Lists[control.OptionDisks]
	disks, err := domainxml.Disks(description, chosen)
	if err != nil {
		return nil, nil, m.refusal("the guest's description can't be read: %v", err)
	}
	beneath, err := m.imagesBeneath(ctx, chosen)
	if err != nil {
		return nil, nil, m.libvirtCause("asking what the guest's disks are based on", err)
	}
	create = make(map[string]arrival.CreateDisk)
	var not []string
	for _, d := range disks {
		if err := arrival.CanMake(d); err != nil {
			not = append(not, err.Error()) // it may be there; else libvirt says that it is not
			continue
		}
		under := beneath[d.Target]
		if under.BackingOther {
			not = append(not, fmt.Sprintf("disk %s is based on what is no file: make one like it at the destination yourself (qemu-img create)", d.Target))
			continue
		}
		c := arrival.CreateDisk{Backing: under.Backing, BackingFormat: under.BackingFormat}
		if d.Backing != "" && c.Backing != "" { // it was given, and may be another there
			c.Backing, c.BackingFormat = d.Backing, d.BackingFormat
		}
		if c.Size, _, err = m.virt.DiskSize(ctx, m.dom.UUID, d.Target); err != nil {
			return nil, nil, m.libvirtCause("asking for the size of disk "+d.Target, err)
		}
		create[d.Target] = c
		paths = append(paths, d.Path)
	}
	switch {
	case len(create) > 0:
		return create, paths, nil
	case len(not) > 0:
		return nil, nil, m.refusal("there is no disk that --create-disks could make: %s", strings.Join(not, "; "))
	}
	return nil, nil, m.refusal("guest %s has no disk to copy, since all are read-only, shared or empty: leave out --create-disks and --copy-storage-%s", m.dom.Name, m.req.CopyStorage)
}

// makesNone refuses a host without a sluice.
func (m *outgoing) makesNone() *stream.Cause {
	return m.refusal("%s has no sluice, which would make the disks there: leave out --create-disks, and make them yourself (qemu-img create)", m.peer.Name)
}

// imagesBeneath are the guest's disks here with the images beneath that libvirt has found, by their
// targets. Where disks are copied whole there are none to be beneath.
func (m *outgoing) imagesBeneath(ctx context.Context, chosen []string) (map[string]domainxml.Disk, error) {
	if m.req.CopyStorage != control.CopyInc {
		return nil, nil
	}
	var text string
	err := m.virt.Bound(ctx, func() (err error) {
		text, err = m.virt.DomainGetXMLDesc(m.dom, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	disks, err := domainxml.Disks(text, chosen)
	beneath := make(map[string]domainxml.Disk)
	for _, d := range disks {
		beneath[d.Target] = d
	}
	return beneath, err
}

// prepareFailed is how Prepare failed, with what to do about disks that are missing there.
func (m *outgoing) prepareFailed(ctx context.Context, call *arrival.PrepareCall, err error) error {
	var cause *stream.Cause
	if !errors.As(err, &cause) {
		return err
	}
	more := ""
	switch {
	case call.CallFor() == arrival.CallPrepareDisks && strings.Contains(cause.Text, "has no call"): // the words of those before it
		more = fmt.Sprintf("the sluice on %s is older, and makes no disks: update it, or leave out --create-disks and make them yourself (qemu-img create)", m.peer.Name)
	default:
		more = m.host.Libvirt.MissingDisks(ctx, m.dom.UUID, call.XML, m.req.Values.Lists[control.OptionDisks], m.req.CopyStorage == control.CopyInc, cause.Text, m.peer.Name)
		if more != "" && !m.req.CreateDisks {
			more += "; or have sluice make it, with --create-disks"
		}
	}
	if more == "" {
		return err
	}
	told := *cause
	told.Text += "; " + more
	return &told
}

func (m *outgoing) refusal(format string, args ...any) *stream.Cause {
	return &stream.Cause{Code: stream.CodeRefused, Host: m.host.Config.Name, Text: fmt.Sprintf(format, args...)}
}
