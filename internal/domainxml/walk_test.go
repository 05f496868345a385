package domainxml

import (
	"strings"
	"testing"
)

func TestBounded(t *testing.T) {
	half := "<cpu>" + strings.Repeat("<feature name='a'/>", MaxElements/2) + "</cpu>"
	for name, c := range map[string]struct {
		texts []string
		word  string
	}{
		"none":        {nil, ""},
		"CPUs":        {[]string{"<cpu/>", "<?xml version='1.0'?><host><cpu/></host>"}, ""},
		"one":         {[]string{half}, ""},
		"two halves":  {[]string{half, half}, "elements"},
		"large":       {[]string{"<a>" + strings.Repeat(" ", MaxSize/2) + "</a>", "<a>" + strings.Repeat(" ", MaxSize/2) + "</a>"}, "bytes"},
		"cut":         {[]string{"<cpu>"}, "EOF"},
		"with DTD":    {[]string{"<cpu/>", "<!DOCTYPE c [<!ENTITY a 'b'>]><cpu/>"}, "DOCTYPE"},
		"empty":       {[]string{""}, "empty"},
		"many things": {[]string{strings.Repeat("<", 4*MaxElements)}, "elements"},
	} {
		err := Bounded(c.texts...)
		if (err == nil) != (c.word == "") || err != nil && !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
