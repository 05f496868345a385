package bench

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// speed is a line of `openssl speed -mr`: bytes for each second of its CPU time.
var speed = regexp.MustCompile(`(?m)^\+F:[0-9]+:AES-128-GCM:([0-9.]+)$`)

// opensslCost is what aesCost is, of OpenSSL's AES-128-GCM, by its own benchmark:
// records are sealed and opened with additional data and tag (-aead).
func opensslCost(ctx context.Context, program string) (cost float64, err error) {
	for _, way := range [][]string{nil, {"-decrypt"}} {
		args := append([]string{"speed", "-mr", "-seconds", "1", "-bytes", strconv.Itoa(record), "-evp", "aes-128-gcm", "-aead"}, way...)
		cmd := exec.CommandContext(ctx, program, args...)
		out, err := cmd.Output()
		if err != nil {
			return 0, fmt.Errorf("%v: %w", cmd, err)
		}
		rate := 0.0
		if m := speed.FindSubmatch(out); m != nil {
			rate, _ = strconv.ParseFloat(string(m[1]), 64)
		}
		if rate <= 0 {
			return 0, fmt.Errorf("%v: no speed in what it says: %q", cmd, out)
		}
		cost += 1e9 / rate
	}
	return cost, nil
}
