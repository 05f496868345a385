package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/virt-sluice/sluice/internal/gcm"
)

// version is set by the linker (see Makefile).
var version string

// buildVersion is the linker's version, else the one that the go command stamped into the binary.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

func newVersion(io streams) *cobra.Command {
	var verbose bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run: func(*cobra.Command, []string) {
			fmt.Fprintf(io.out, "sluice %s %s %s/%s\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			if verbose {
				fmt.Fprintf(io.out, "AES-GCM: %v\n", gcm.Chosen())
			}
		},
	}
	cmd.Flags().BoolVar(&verbose, "verbose", false, "also say which AES-GCM is used on this processor, and why")
	return cmd
}
