package transfer

import (
	"fmt"
	"net/url"
	"strings"
)

// ParseTCP reads a URI of the kind tcp:HOST[:PORT], which libvirt takes with and without slashes.
func ParseTCP(uri string) (*url.URL, error) {
	if rest, is := strings.CutPrefix(uri, "tcp:"); is && !strings.HasPrefix(rest, "//") {
		uri = "tcp://" + rest
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "tcp" {
		return nil, fmt.Errorf("%.80q is not tcp:HOST or tcp:HOST:PORT", uri)
	}
	return u, nil
}
