package bench

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Options of a run.
type Options struct {
	Sluice   string   // the program to measure, which is also asked for `bench relay`
	Size     int64    // bytes of one piece of bulk work, over all its streams
	Rounds   int      // how often each program does each work
	Pings    int      // round trips of one ping-pong
	Only     []string // names of contenders; all that are installed if empty
	Works    []string // names of works; all if empty
	Tools    string   // a folder to look for programs in, besides PATH
	Progress func(string)
	Busy     bool // measure on a busy machine, too

	// FarCommand, if there is one, leads to `sluice bench far` on another host,
	// where the sink then is, and FarHost is the address that its relays listen at.
	FarCommand []string
	FarHost    string
}

func (o *Options) farHost() string {
	if o.FarHost == "" {
		return "127.0.0.1"
	}
	return o.FarHost
}

// work is what is asked of a pair of relays.
type work struct {
	name    string
	title   string
	streams int
	both    bool // both directions at once
	message int  // of a ping-pong, in bytes
	beside  bool // round trips of a byte beside bulk
	part    int  // of Options.Size: one part in so many
}

var works = []work{
	{name: "1", title: "one stream", streams: 1, part: 1},
	{name: "4", title: "4 streams", streams: 4, part: 1},
	{name: "16", title: "16 streams", streams: 16, part: 1},
	{name: "both", title: "one stream each way at once", streams: 1, both: true, part: 2},
	{name: "ping-1", title: "ping-pong of 1 byte", streams: 1, message: 1, part: 1},
	{name: "ping-4k", title: "ping-pong of 4 KiB", streams: 1, message: 4096, part: 1},
	{name: "64", title: "64 streams", streams: 64, part: 1},
	{name: "200", title: "200 streams", streams: 200, part: 1},
	{name: "beside-1", title: "round trips of 1 byte beside one stream", streams: 1, beside: true, part: 1},
	{name: "beside-16", title: "round trips of 1 byte beside 16 streams", streams: 16, beside: true, part: 1},
	{name: "beside-64", title: "round trips of 1 byte beside 64 streams", streams: 64, beside: true, part: 1},
	{name: "beside-200", title: "round trips of 1 byte beside 200 streams", streams: 200, beside: true, part: 1},
}

// bulk reports whether bytes are moved that are counted.
func (w work) bulk() bool { return w.message == 0 }

// timed reports whether round trips are.
func (w work) timed() bool { return w.message > 0 || w.beside }

// Works are the names that Options.Works may have.
func Works() []string {
	var names []string
	for _, w := range works {
		names = append(names, w.name)
	}
	return names
}

// Check says what is wrong with the options, or nil.
func (o *Options) Check() error {
	switch {
	case o.Size < 1<<20:
		return errors.New("a piece of work has to be 1 MiB or more")
	case o.Rounds < 1:
		return errors.New("there has to be one round or more")
	case o.Pings < 100:
		return errors.New("there have to be 100 round trips or more")
	}
	if (len(o.FarCommand) > 0) != (o.FarHost != "") {
		return errors.New("a far side takes both the command that leads to it and the address that it listens at")
	}
	for _, name := range o.Works {
		if !slices.Contains(Works(), name) {
			return fmt.Errorf("there is no work %q; choose from %s", name, strings.Join(Works(), ", "))
		}
	}
	for _, name := range o.Only {
		if !slices.Contains(Contenders(), name) {
			return fmt.Errorf("there is no contender %q; choose from %s", name, strings.Join(Contenders(), ", "))
		}
	}
	return nil
}

func (o *Options) works() []work {
	return slices.DeleteFunc(slices.Clone(works), func(w work) bool {
		return len(o.Works) > 0 && !slices.Contains(o.Works, w.name)
	})
}
