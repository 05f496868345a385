package session

// What a session is for (stream.Info.Work).
const (
	// WorkMigration is a migration by `sluice migrate`: its calls and its data.
	WorkMigration = "migration"
	// WorkLibvirt is a libvirt client of the source's that speaks with the peer's libvirtd.
	WorkLibvirt = "libvirt"
	// WorkClient is a client without a sluice that speaks with this host's libvirtd. No peer asks
	// for it.
	WorkClient = "client"
	// WorkSteered is the data of a migration that a libvirt client runs, beside the session of
	// WorkLibvirt that carries its calls.
	WorkSteered = "steered"
	// WorkLead has the sluice of a guest's host lead it to the host that opens the session, to whose
	// libvirt the guest's host has come past its own sluice. Its data goes by one of WorkSteered.
	WorkLead = "lead"
	// WorkIntercept is one connection that QEMU made to another host's migration port, and that the
	// kernel has led to sluice instead.
	WorkIntercept = "intercept"
	// WorkProbe sends noise for a moment, so that a plan knows how fast a guest would be sent.
	WorkProbe = "probe"
)
