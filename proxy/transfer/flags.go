package transfer

import "github.com/digitalocean/go-libvirt"

// virshFlags are the options of `virsh migrate` for libvirt's flags.
var virshFlags = []struct {
	flag   libvirt.DomainMigrateFlags
	option string
}{
	{libvirt.MigrateLive, "--live"},
	{libvirt.MigrateOffline, "--offline"},
	{libvirt.MigratePeer2peer, "--p2p"},
	{libvirt.MigrateTunnelled, "--tunnelled"},
	{libvirt.MigrateTLS, "--tls"},
	{libvirt.MigratePersistDest, "--persistent"},
	{libvirt.MigrateUndefineSource, "--undefinesource"},
	{libvirt.MigratePaused, "--suspend"},
	{libvirt.MigrateNonSharedDisk, "--copy-storage-all"},
	{libvirt.MigrateNonSharedInc, "--copy-storage-inc"},
	{libvirt.MigrateNonSharedSynchronousWrites, "--copy-storage-synchronous-writes"},
	{libvirt.MigrateUnsafe, "--unsafe"},
	{libvirt.MigrateCompressed, "--compressed"},
	{libvirt.MigrateAbortOnError, "--abort-on-error"},
	{libvirt.MigrateAutoConverge, "--auto-converge"},
	{libvirt.MigrateRdmaPinAll, "--rdma-pin-all"},
	{libvirt.MigratePostcopy, "--postcopy"},
	{libvirt.MigratePostcopyResume, "--postcopy-resume"},
	{libvirt.MigrateParallel, "--parallel"},
	{libvirt.MigrateZerocopy, "--zerocopy"},
}

// Flags are the options of `virsh migrate` that set such flags, for history.
func Flags(flags libvirt.DomainMigrateFlags) (options []string) {
	for _, f := range virshFlags {
		if flags&f.flag != 0 {
			options = append(options, f.option)
		}
	}
	return options
}
