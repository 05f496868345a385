package stand

import (
	"regexp"
	"strings"
)

// Bare is a message that tells a person nothing: an error of the kernel's or
// of a library's, with at most names in front of it.
var Bare = regexp.MustCompile(`(?i)^([\w.() -]*: )*(unexpected )?(eof|end of file|connection reset( by peer)?|broken pipe|i/o timeout|context (canceled|deadline exceeded)|use of closed network connection|connection refused)\W*$`)

// Misbehaved returns what in a daemon's log shows a crash or a data race, or "". One race is none of
// ours, and does no harm: go-libvirt's ConnectToURI replaces, unlocked, a channel that its
// waitAndDisconnect reads when libvirtd ends the connection in the moment of its opening. Nobody
// waits for that channel.
func Misbehaved(log string) string {
	const end = "=================="
	for _, report := range strings.Split(log, end) {
		race := strings.Contains(report, "WARNING: DATA RACE")
		if race && strings.Contains(report, "ConnectToURI") && strings.Contains(report, "waitAndDisconnect") {
			continue
		}
		if race || strings.Contains(report, "panic:") || strings.Contains(report, "fatal error:") || strings.Contains(report, "\ngoroutine ") {
			return report
		}
	}
	return ""
}
