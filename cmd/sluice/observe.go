package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"
	"kernel.org/pub/linux/libs/security/libcap/cap"

	"github.com/virt-sluice/sluice/internal/confine"
	"github.com/virt-sluice/sluice/internal/observer"
)

// newObserve is what the daemon starts, and sluice-observer@.service. It is for no person.
func newObserve() *cobra.Command {
	return &cobra.Command{
		Use:     "observe",
		Short:   "Answer a daemon's questions about other processes, by standard input",
		Example: "  sluice observe",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := observe(); err != nil {
				return failed(fmt.Errorf("observer: %w", err))
			}
			return nil
		},
	}
}

func observe() error {
	// As a child it is in the daemon's unit, which may forbid capset; it then has what the unit leaves.
	if _, err := confine.Capabilities([]cap.Value{cap.SYS_PTRACE, cap.DAC_READ_SEARCH}, nil); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	daemon, err := observer.Inherited()
	if err != nil {
		return err
	}
	defer daemon.Close()
	return observer.Serve(daemon)
}
