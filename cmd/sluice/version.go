package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/virt-sluice/sluice/internal/gcm"
	"github.com/virt-sluice/sluice/stream/ktls"
)

// version and commit are set by the linker (see Makefile).
var version, commit string

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
		Example: `  sluice version
  sluice version --verbose`,
		Args: cobra.NoArgs,
		Run: func(*cobra.Command, []string) {
			fmt.Fprintf(io.out, "sluice %s %s %s/%s\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			if verbose {
				fmt.Fprintf(io.out, "commit: %s\nAES-GCM: %v\nkernel TLS: %s\n", cmp.Or(commit, "unknown"), gcm.Chosen(), kernelTLS())
			}
		},
	}
	cmd.Flags().BoolVar(&verbose, "verbose", false, "also say which commit it was built of, which AES-GCM is used on this processor and why, and whether the kernel has TLS")
	return cmd
}

// kernelTLS says whether this kernel can make and open TLS records.
func kernelTLS() string {
	if err := ktls.Available(); err != nil {
		each := strings.Split(err.Error(), "\n") // sending, receiving
		return "no: " + strings.Join(slices.Compact(each), "; ")
	}
	return "yes; sudo sluice check says for which cipher suites"
}
