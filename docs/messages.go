// Package docs has those of the repository's documents that the program shows. Its tests check all of
// them.
package docs

import (
	_ "embed" // messages.md
	"strings"
	"sync"
)

//go:embed messages.md
var messagesPage string

// An Entry is what messages.md says of some messages. Why and Guest are empty where the program
// itself writes the remedy behind the message, and no guest is concerned.
type Entry struct {
	Title          string
	Why, Guest, Do string
	Messages       []string // … stands for names, numbers and causes
}

// LeastOwn is how many bytes a message has of its own in one piece at least: less would be in too many
// texts to tell anything.
const LeastOwn = 8

// Entries are those of messages.md.
var Entries = sync.OnceValue(readEntries)

func readEntries() (all []Entry) {
	for section := range strings.SplitSeq(messagesPage, "\n### ") {
		title, text, _ := strings.Cut(section, "\n")
		head, block, ok := strings.Cut(text, "```text\n")
		if !ok {
			continue // the head of the page
		}
		block, _, _ = strings.Cut(block, "```")
		e := Entry{Title: title, Why: item(head, "Why"), Guest: item(head, "The guest"), Do: item(head, "What to do")}
		for line := range strings.Lines(block) {
			line = strings.TrimSuffix(line, "\n")
			remedy, ok := strings.CutPrefix(line, "  -> ")
			if !ok {
				e.Messages = append(e.Messages, line)
				continue
			}
			last := e.Messages[len(e.Messages)-1]
			e.Messages = e.Messages[:len(e.Messages)-1]
			all = append(all, Entry{Title: title, Do: remedy, Messages: []string{last}})
		}
		if len(e.Messages) > 0 {
			all = append(all, e)
		}
	}
	return all
}

// item is the text of one item of a list: "- Why: …".
func item(list, name string) string {
	_, text, ok := strings.Cut("\n"+list, "\n- "+name+": ")
	if !ok {
		return ""
	}
	text, _, _ = strings.Cut(text, "\n- ")
	return strings.Join(strings.Fields(text), " ")
}
