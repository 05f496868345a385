// Package units writes amounts as people read them.
package units

import "fmt"

// Size is n bytes in binary units, three digits or so.
func Size(n uint64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/1024, 0
	for ; v >= 999.5 && unit < len(binary)-1; unit++ {
		v /= 1024
	}
	digits := 0
	switch {
	case v < 9.995:
		digits = 2
	case v < 99.95:
		digits = 1
	}
	return fmt.Sprintf("%.*f %s", digits, v, binary[unit])
}

// Rate is n bytes per second.
func Rate(n uint64) string { return Size(n) + "/s" }

var binary = [...]string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
