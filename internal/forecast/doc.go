// Package forecast works out how a migration would go, from figures that are known before: how many
// passes over memory it takes, for how long, how long the guest stands still at the end, and whether
// it ends at all.
//
//	f := forecast.Of(forecast.Guest{Memory: 4 << 30, Dirt: forecast.Fit(d1, d3, 4<<30)}, forecast.Path{Rate: 100 << 20})
//
// It does what QEMU does (migration_iteration_run in migration/migration.c), with bytes in place of
// pages: QEMU sends what is dirty, and once what is left would get through within the downtime
// limit, looks again for what the guest has changed meanwhile. If that, too, fits, the guest is
// stopped and the rest is sent; else QEMU goes on.
//
// The package measures nothing and knows no host.
package forecast
