package domainxml

import "encoding/xml"

// Machine is the guest's machine type, such as pc-q35-7.2; empty where none is named.
func Machine(description string) (string, error) {
	if err := Bounded(description); err != nil {
		return "", err
	}
	var d struct {
		Type struct {
			Machine string `xml:"machine,attr"`
		} `xml:"os>type"`
	}
	err := xml.Unmarshal([]byte(description), &d)
	return d.Type.Machine, err
}
