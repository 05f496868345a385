package lab

import (
	"fmt"
	"net"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// Connections are told in the order in which they were made, on whichever processor.
func TestInOrder(t *testing.T) {
	for _, c := range [][]int{{}, {7}, {40000, 40002, 40010}, {60990, 60998, 32770, 32774}, {60998, 32768}} {
		if got := inOrder(slices.Sorted(slices.Values(c))); !slices.Equal(got, c) {
			t.Errorf("%v, want %v", got, c)
		}
	}
	runtime.LockOSThread() // which is not unlocked: it ends with the test
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var processors unix.CPUSet
	if err := unix.SchedGetaffinity(0, &processors); err != nil {
		t.Fatal(err)
	}
	var cpus, made []int
	for cpu := range len(processors) * 64 {
		if processors.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	for n := range 20 {
		var one unix.CPUSet
		one.Set(cpus[n%len(cpus)])
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		made = append(made, c.LocalAddr().(*net.TCPAddr).Port)
	}
	if got := inOrder(slices.Sorted(slices.Values(made))); !slices.Equal(got, made) {
		t.Error(fmt.Sprint(got), "were made in the order", made)
	}
}
