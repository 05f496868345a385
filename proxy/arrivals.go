package proxy

// Arrivals are the guests that come to this host, in whichever way, and what became of them.
type Arrivals struct {
	*Host
	steered  steeredSessions
	pulls    pulls
	verdicts verdicts
}
