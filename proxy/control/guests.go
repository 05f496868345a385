package control

import (
	"context"
	"net/http"
)

// Guest is a guest of this host, by libvirt's word.
type Guest struct {
	Name   string `json:"name"`
	UUID   string `json:"uuid"`
	Active bool   `json:"active"` // it runs or is paused; else it is only defined
}

// Guests are the guests of this host, in libvirt's order.
type Guests struct {
	Guests []Guest `json:"guests"`
}

// Guests asks for the guests of this host.
func (c *Client) Guests(ctx context.Context) (*Guests, error) {
	g := new(Guests)
	return g, c.ask(ctx, http.MethodGet, "/v1/guests", nil, g)
}
