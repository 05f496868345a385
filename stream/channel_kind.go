package stream

// Kinds of data channels. ChannelKinds has what else is to be known of each.
const (
	ChannelMemory  = "memory"  // QEMU's migration stream: main, multifd, post-copy
	ChannelDisk    = "disk"    // NBD
	ChannelLibvirt = "libvirt" // libvirt's remote protocol

	// ChannelIntercept is a connection that QEMU made to another host by itself:
	// its memory's or its disks', the bytes alone tell.
	ChannelIntercept = "intercept"
)

// What else the first frame of a connection may ask for.
const (
	channelControl = "control"
	channelAsk     = "ask" // one question and one answer, without a session
)

// ChannelKind is what a data channel carries.
type ChannelKind struct {
	Name  string // in frames, messages, status and metrics
	Local string // who has the local end, in messages

	// QEMU has the local end, and may close it with bytes under way after a
	// migration that went well.
	QEMU bool
}

var channelKinds = []ChannelKind{
	{Name: ChannelMemory, Local: "QEMU's migration socket", QEMU: true},
	{Name: ChannelDisk, Local: "QEMU's disk (NBD) socket", QEMU: true},
	{Name: ChannelLibvirt, Local: "libvirt's socket"},
	{Name: ChannelIntercept, Local: "QEMU's port", QEMU: true},
}

// ChannelKinds are all of them.
func ChannelKinds() []ChannelKind { return channelKinds }

// channelKind is the zero value for a kind that is unknown here.
func channelKind(name string) (k ChannelKind) {
	for _, k := range channelKinds {
		if k.Name == name {
			return k
		}
	}
	return k
}

// MigrationChannels are the kinds of the data of one migration.
func MigrationChannels(disks bool) []string {
	if disks {
		return []string{ChannelMemory, ChannelDisk}
	}
	return []string{ChannelMemory}
}
