package domainxml

import (
	"encoding/xml"
	"slices"
)

// HasVirtiofs says whether the guest has a folder of the host's by virtiofs.
func HasVirtiofs(description string) (bool, error) {
	if err := Bounded(description); err != nil {
		return false, err
	}
	type driver struct {
		Type string `xml:"type,attr"`
	}
	var d struct {
		Drivers []driver `xml:"devices>filesystem>driver"`
	}
	err := xml.Unmarshal([]byte(description), &d)
	return slices.Contains(d.Drivers, driver{"virtiofs"}), err
}
