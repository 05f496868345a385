package main

import (
	"fmt"
	"slices"
)

// loop executes two instructions n times.
func loop(n uint64)

// calibrate returns the nanoseconds that the clock counts for one of loop's
// instructions: 1, and the interrupts between.
func calibrate() (float64, error) {
	const n = 10_000_000
	var got []float64
	for range 21 {
		t := begin()
		loop(n)
		got = append(got, t.instructions()/(2*n))
	}
	slices.Sort(got)
	one := got[len(got)/2]
	if one < 0.99 || one > 1.02 {
		return one, fmt.Errorf("the clock takes %.3f ns for each instruction of a loop: it does not count them (QEMU: -icount shift=0)", one)
	}
	return one, nil
}
