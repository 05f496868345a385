package main

import (
	"errors"

	"github.com/virt-sluice/sluice/proxy/control"
)

// Exit statuses. Their numbers are an interface.
const (
	exitMoved     = 0 // or, of commands that move nothing, done
	exitFailed    = 1
	exitUsage     = 2
	exitCancelled = 3
	exitUnknown   = 4
)

const exitHelp = `Exit status:
  0  moved: the guest runs at the destination
  1  failed; the guest is still at the source
  2  wrong use, or wrong configuration; nothing was tried
  3  cancelled; the guest is still at the source
  4  state unknown: post-copy was lost halfway, or the daemon went away; look at
     both hosts before doing anything`

// exitError carries the status that an error ends the process with. A nil err
// means that all has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func failed(err error) error   { return &exitError{exitFailed, err} }
func wrongUse(err error) error { return &exitError{exitUsage, err} }

// notAsked is why the daemon was asked in vain: wrong use if it says so.
func notAsked(err error) error {
	var refused *control.Error
	if errors.As(err, &refused) && (refused.Code == 400 || refused.Code == 403) {
		return wrongUse(err)
	}
	return failed(err)
}

// exitOf is the status of a migration's outcome. An outcome of a newer daemon
// that this program does not know is one it cannot vouch for.
func exitOf(outcome string) int {
	switch outcome {
	case control.Moved:
		return exitMoved
	case control.Failed:
		return exitFailed
	case control.Cancelled:
		return exitCancelled
	}
	return exitUnknown
}
