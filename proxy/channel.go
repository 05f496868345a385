package proxy

import "github.com/virt-sluice/sluice/stream"

// channelView is one channel as status shows it.
type channelView struct {
	kind string
	channel
}

// channel is a *stream.Channel or a *lane.
type channel interface {
	Name() string
	Path() string
	TLS() (version, suite string)
	Sent() int64
	Received() int64
	Open() bool
}

func viewsOf(s *stream.Session) []channelView {
	var all []channelView
	for _, c := range s.Channels() {
		all = append(all, channelView{c.Kind, c})
	}
	return all
}
