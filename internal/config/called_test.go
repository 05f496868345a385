package config

import "testing"

func TestCalled(t *testing.T) {
	c, err := Parse("f.toml", []byte(`
[peers.b]
address = "192.0.2.2"
names = ["host-b.example.org", "C=GB,CN=b", "b*.example.org"]
aliases = ["storage-b", "[2001:db8::2]"]
[peers.c]
address = "gate.example.org:1"
[peers.d]
address = "gate.example.org:2"
names = ["host-d"]
`))
	if err != nil {
		t.Fatal(err)
	}
	links := c.Links()
	for link, want := range map[string]string{"192.0.2.2": "b", "2001:db8::2": "b", "[2001:db8::2]": "b", "host-d": "d", "b": "", "gate.example.org": ""} {
		if links[link] != want {
			t.Errorf("the folder %s is peer %q's, want %q", link, links[link], want)
		}
	}
	called := c.Called()
	for host, want := range map[string]string{
		"b": "b", "192.0.2.2": "b", "Host-B.example.org.": "b", "storage-b": "b", "[2001:db8::2]": "b", "2001:db8:0::2": "b",
		"b1.example.org": "", "C=GB,CN=b": "",
		"c": "c", "gate.example.org": "", "host-d": "d",
	} {
		if got := called[HostKey(host)]; got != want {
			t.Errorf("%s is called peer %q, want %q", host, got, want)
		}
	}
}
