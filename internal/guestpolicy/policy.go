package guestpolicy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/virt-sluice/sluice/internal/config"
)

// Policy is what guests that come may ask for. The zero value accepts hardly anything: see New.
type Policy struct {
	accept config.Accept
	pools  func() ([]Pool, error)

	// Resolve follows a path's symbolic links. nil: filepath.EvalSymlinks, which can't look into
	// folders that this process may not search.
	Resolve func(path string) (string, error)
}

// Pool is one of this host's storage pools.
type Pool struct {
	Name   string
	Type   string // libvirt's: dir, fs, netfs, logical, iscsi...
	Target string // the folder where its volumes are; empty: none
}

// New makes the policy of a configuration; what is not set there has its default. pools is called
// where a disk lies in no other folder, or is named as a volume.
func New(accept config.Accept, pools func() ([]Pool, error)) *Policy {
	return &Policy{accept: accept.WithDefaults(), pools: pools}
}

// Refusal is one thing that a description asks for and may not.
type Refusal struct {
	Element string // by its path beneath <domain>, such as devices/disk/source
	Value   string // what was found there; empty: that it is there
	Why     string
	Key     string // of [accept], which could allow it
	Allow   string // what to add there
}

func (r *Refusal) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "<%s>", r.Element)
	if r.Value != "" {
		fmt.Fprintf(&b, " asks for %.120q", r.Value)
	}
	fmt.Fprintf(&b, ": %s", r.Why)
	if r.Key != "" {
		fmt.Fprintf(&b, " (accept.%s", r.Key)
		if r.Allow != "" {
			fmt.Fprintf(&b, ", which would need %.120q", r.Allow)
		}
		b.WriteByte(')')
	}
	return b.String()
}

// maxTold bounds the refusals that an error has in words.
const maxTold = 4

// Check returns nil for a description that asks for nothing that it may not, or an error that says
// what it asks for.
func (p *Policy) Check(description string) error {
	refusals, err := p.Judge(description)
	switch {
	case err != nil:
		return err
	case len(refusals) == 0:
		return nil
	}
	var words []string
	for _, r := range refusals[:min(len(refusals), maxTold)] {
		words = append(words, r.Error())
	}
	if more := len(refusals) - maxTold; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return errors.New("the guest's description asks for what is not accepted here: " + strings.Join(words, "; "))
}

// Judge returns all that a description asks for and may not, in its order. The error is of a
// description that cannot be read.
func (p *Policy) Judge(description string) ([]*Refusal, error) {
	j := &judge{policy: p}
	if err := j.read(description); err != nil {
		return nil, fmt.Errorf("read the guest's description: %w", err)
	}
	return j.refusals, nil
}

// Emulator says whether a program is one that may be a guest's QEMU.
func (p *Policy) Emulator(program string) bool { return matches(p.accept.Emulators, program) }

// lists says whether a list of the configuration has the word.
func lists(list []string, word string) bool { return slices.Contains(list, word) }
