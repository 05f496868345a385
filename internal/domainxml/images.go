package domainxml

import "encoding/xml"

// HasImages says whether the guest has any image that QEMU opens: of a disk, or of UEFI.
func HasImages(description string) (bool, error) {
	if err := Bounded(description); err != nil {
		return false, err
	}
	var d struct {
		Loader struct {
			Type string `xml:"type,attr"`
		} `xml:"os>loader"`
		Sources []struct{} `xml:"devices>disk>source"`
	}
	err := xml.Unmarshal([]byte(description), &d)
	return d.Loader.Type == "pflash" || len(d.Sources) > 0, err
}
