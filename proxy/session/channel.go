package session

import (
	"github.com/virt-sluice/sluice/stream"
	"github.com/virt-sluice/sluice/tlsconf"
)

// Channel is one channel as status shows it.
type Channel struct {
	Kind string
	ChannelStats
}

// ChannelStats is a *stream.Channel, or the same of a direct channel.
type ChannelStats interface {
	Name() string
	Path() string
	TLS() tlsconf.Used
	Sent() int64
	Received() int64
	Open() bool
}

func ChannelsOf(s *stream.Session) []Channel {
	var all []Channel
	for _, c := range s.Channels() {
		all = append(all, Channel{c.Kind, c})
	}
	return all
}
