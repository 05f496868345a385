package tlsconf

import "fmt"

// Severity says what a Finding means for the daemon.
type Severity string

const (
	Warning Severity = "warning" // works today
	Error   Severity = "error"   // these credentials cannot be used
)

// Finding is one thing that is wrong with a file.
type Finding struct {
	Severity Severity `json:"severity"`
	File     string   `json:"file"`
	Problem  string   `json:"problem"`
	Remedy   string   `json:"remedy"`
}

// Error makes a Finding usable as an error: file, what is wrong, how to mend it.
func (f *Finding) Error() string {
	return fmt.Sprintf("%s: %s; %s", f.File, f.Problem, f.Remedy)
}

func problem(file, remedy, format string, args ...any) *Finding {
	return &Finding{Severity: Error, File: file, Problem: fmt.Sprintf(format, args...), Remedy: remedy}
}

func warning(file, remedy, format string, args ...any) *Finding {
	return &Finding{Severity: Warning, File: file, Problem: fmt.Sprintf(format, args...), Remedy: remedy}
}
