package check

import (
	"time"

	"github.com/virt-sluice/sluice/proxy/control"
)

// Question is what one sluice asks another to be told what it sees. It belongs to no session.
const Question = "check"

// Ask is the question's body.
type Ask struct {
	Version string `msgpack:"version"` // of the sluice that asks
}

// Answer is what the other sees on its side.
type Answer struct {
	Host     string    `msgpack:"host"`
	Version  string    `msgpack:"version"`
	Time     time.Time `msgpack:"time"` // its clock
	You      string    `msgpack:"you"`  // as which of its peers it knows the one who asks
	Priority string    `msgpack:"priority"`
	Draining bool      `msgpack:"draining"`

	Libvirt      string `msgpack:"libvirt"`       // its libvirt's version
	LibvirtError string `msgpack:"libvirt_error"` // or why there is none

	Warnings []string `msgpack:"warnings"` // about its certificates

	Offers *control.Offers `msgpack:"offers,omitempty"`
}
