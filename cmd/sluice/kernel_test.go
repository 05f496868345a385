//go:build kerneltls

package main

import "testing"

// The programs as a whole, where the kernel has TLS.
func TestTunnelsInTheKernel(t *testing.T) { testTunnels(t, "ktls") }
