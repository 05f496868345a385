package peer

import (
	"testing"
	"time"
)

func TestRefusalOfLateHandshake(t *testing.T) {
	if cause := refusalCause(NoHandshake(time.Second)); cause != "timeout" {
		t.Errorf("a handshake that takes too long is %q", cause)
	}
}
