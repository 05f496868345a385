package session

// Descriptors of a session with one memory channel, at the source: two sockets a channel, the control
// channel, libvirt's two connections, listeners, and pipes or epolls; and what the daemon has besides.
const (
	filesPerSession = 24
	filesBesides    = 256
)

// Fit is for how many sessions so many open files are enough, by and large.
func Fit(files uint64) uint64 { return (files - min(files, filesBesides)) / filesPerSession }
