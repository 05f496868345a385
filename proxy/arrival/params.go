package arrival

import (
	"context"
	"fmt"

	"github.com/digitalocean/go-libvirt"

	"github.com/virt-sluice/sluice/proxy/control"
	"github.com/virt-sluice/sluice/proxy/virt"
)

// Params are what libvirt at either host is told of a migration: the guest's name at the
// destination, where data goes to, MiB/s and connections (0 leaves these to libvirt), and options
// that were given.
func Params(name string, to Where, bandwidth uint64, parallel int, values control.Values) []libvirt.TypedParam {
	params := []libvirt.TypedParam{
		ParamString(libvirt.MigrateParamDestName, name),
		ParamString(libvirt.MigrateParamURI, to.Memory),
	}
	if to.Disks != "" {
		params = append(params, ParamString(libvirt.MigrateParamDisksURI, to.Disks))
	}
	if bandwidth > 0 {
		params = append(params, libvirt.TypedParam{Field: libvirt.MigrateParamBandwidth, Value: *libvirt.NewTypedParamValueUllong(bandwidth)})
	}
	if parallel > 0 {
		params = append(params, libvirt.TypedParam{Field: libvirt.MigrateParamParallelConnections, Value: *libvirt.NewTypedParamValueInt(int32(parallel))})
	}
	for _, o := range values.Given() {
		number := values.Numbers[o.Name]
		switch {
		case o.List:
			for _, one := range values.Lists[o.Name] {
				params = append(params, ParamString(o.Field, one))
			}
		case o.Wide:
			params = append(params, libvirt.TypedParam{Field: o.Field, Value: *libvirt.NewTypedParamValueUllong(number)})
		default:
			params = append(params, libvirt.TypedParam{Field: o.Field, Value: *libvirt.NewTypedParamValueInt(int32(number))})
		}
	}
	return params
}

// ParamString is a parameter that is text.
func ParamString(field, value string) libvirt.TypedParam {
	return libvirt.TypedParam{Field: field, Value: *libvirt.NewTypedParamValueString(value)}
}

// KnowsValues fails, as wrong use, where libvirt on the host of that name is too old for an option.
func KnowsValues(ctx context.Context, v *virt.Conn, host string, values control.Values) error {
	if len(values.Given()) == 0 {
		return nil
	}
	var version uint64
	err := v.Bound(ctx, func() (err error) {
		version, err = v.ConnectGetLibVersion()
		return err
	})
	if err != nil {
		return fmt.Errorf("ask libvirt for its version: %w", err)
	}
	if option, since := values.TooNew(version); option != "" {
		return control.WrongUse("--%s needs libvirt %s on both hosts, and %s has %s: leave it out",
			option, virt.FormatVersion(since), host, virt.FormatVersion(version))
	}
	return nil
}
