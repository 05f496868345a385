package lab

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// The machine's huge pages of 2 MiB, as the kernel counts them.
const hugePages = "/sys/kernel/mm/hugepages/hugepages-2048kB/"

// ReserveHugePages has the machine keep huge pages for two guests of so many MiB, one at each end of
// a migration, and returns what takes back the reservation.
func ReserveHugePages(mib int) (restore func() error, err error) {
	n := make(map[string]int)
	for _, name := range []string{"nr", "free", "resv", "surplus"} {
		if n[name], err = readPages(name); err != nil {
			return nil, err
		}
	}
	missing := 2*((mib+1)/2) - (n["free"] - n["resv"])
	if missing <= 0 {
		return func() error { return nil }, nil
	}
	before := n["nr"] - n["surplus"]
	fmt.Fprintf(os.Stderr, "vm.nr_hugepages: %d until this ends, %d again then\n", before+missing, before)
	restore = func() error { return writePages(before) }
	if err := writePages(before + missing); err != nil {
		return nil, err
	}
	// The kernel takes as many as it finds, and says nothing.
	got, err := readPages("nr")
	if err == nil && got < n["nr"]+missing {
		err = fmt.Errorf("two guests of %d MiB need %d more huge pages of 2 MiB, and the machine has room for %d: free some memory",
			mib, missing, got-n["nr"])
	}
	if err != nil {
		return nil, errors.Join(err, restore())
	}
	return restore, nil
}

func readPages(name string) (int, error) {
	text, err := os.ReadFile(hugePages + name + "_hugepages")
	if err != nil {
		return 0, fmt.Errorf("no huge pages of 2 MiB can be had: %w", err)
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

func writePages(n int) error {
	if err := os.WriteFile(hugePages+"nr_hugepages", []byte(strconv.Itoa(n)), 0); err != nil {
		return fmt.Errorf("the number of huge pages can't be set: %w", err)
	}
	return nil
}
