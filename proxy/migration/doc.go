// Package migration is `sluice migrate` at the source: it runs libvirt's five steps with this
// host's libvirt and with the destination's sluice, or with the libvirtd of a destination that has
// none.
//
//	result, err := migration.Migrate(ctx, h, req, asked, report)
//
// The control server calls it, and it lasts as long as the migration. The destination's half is
// package arrival's.
package migration
