package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// The machine's huge pages of 2 MiB, as the kernel counts them.
const hugePages = "/sys/kernel/mm/hugepages/hugepages-2048kB/"

// reserveHugePages has the machine keep huge pages for two guests of so many
// MiB, one at each end, and returns what takes back the reservation.
func reserveHugePages(mib int) (restore func() error, err error) {
	before, err := readPages("nr_hugepages")
	if err != nil {
		return nil, err
	}
	free, err := readPages("free_hugepages")
	if err != nil {
		return nil, err
	}
	restore = func() error { return writePages(before) }
	missing := 2*((mib+1)/2) - free
	if missing <= 0 {
		return restore, nil
	}
	if err := writePages(before + missing); err != nil {
		return nil, err
	}
	// The kernel takes as many as it finds, and says nothing.
	if got, err := readPages("nr_hugepages"); err != nil || got < before+missing {
		return nil, errors.Join(fmt.Errorf("the machine has room for %d more huge pages of 2 MiB, and two guests of %d MiB need %d: free some memory, or measure with --small-pages",
			got-before, mib, missing), err, restore())
	}
	return restore, nil
}

func readPages(name string) (int, error) {
	text, err := os.ReadFile(hugePages + name)
	if err != nil {
		return 0, fmt.Errorf("this kernel has no huge pages of 2 MiB, measure with --small-pages: %w", err)
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

func writePages(n int) error {
	return os.WriteFile(hugePages+"nr_hugepages", []byte(strconv.Itoa(n)), 0)
}
