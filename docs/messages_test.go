package docs

import (
	"cmp"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the part of messages.md that is made from the source")

// beside is where messages.md has the messages of which the source has the remedy beside them.
const beside = "\n## Messages that say what to do themselves\n"

// fine are texts in the fields of messages that tell of no trouble.
var fine = []string{
	"another process of this host serves the connection",
	"certificates in …",
	"got the first set",
	"guest … is defined on …",
	"it is settled that the guest has not run on … and never will",
	"it is settled that the guest runs on …",
	"nftables here lets connections to TCP port … come and go; what other hosts and the network between do is not known yet",
	"no host of … has been found yet",
	"no sluice, libvirt … at …",
	"peers added",
	"peers removed",
	"sluice …, libvirt …",
	"these resolve: …",
}

// Every message that the program has is in messages.md, under why it comes, what becomes of the guest
// and what to do, and none is there that the program does not have.
func TestMessages(t *testing.T) {
	messages, all := readMessages(t, "..")
	for _, text := range fine {
		if _, ok := messages[text]; !ok {
			t.Errorf("%q is no message any more: remove it from fine", text)
		}
		delete(messages, text)
	}
	page, err := os.ReadFile("messages.md")
	if err != nil {
		t.Fatal(err)
	}
	byHand, made, _ := strings.Cut(string(page), beside)
	if *update {
		made = withRemedies(messages)
		if err := os.WriteFile("messages.md", []byte(byHand+beside+made), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if made != withRemedies(messages) {
		t.Errorf("the section%sof docs/messages.md is not as the source has it: go test ./docs -run TestMessages -update writes it", beside)
	}
	entries := make(map[string]bool)
	for _, e := range Entries() {
		if e.Do == "" || e.Title != "" && (e.Why == "") != (e.Guest == "") {
			t.Errorf("docs/messages.md, %q: it takes the items Why, The guest, and What to do", e.Title)
		}
		for _, text := range e.Messages {
			if entries[text] {
				t.Errorf("docs/messages.md has this twice: %s", text)
			}
			entries[text] = true
			if m := messages[text]; !all[text] || (m.remedy != "") != (e.Why == "") {
				t.Errorf("docs/messages.md has an entry for what is no message of the program any more, or has its remedy beside it in the source; remove the line, or correct it to the message as it is now:\n%s", text)
			}
		}
	}
	for _, text := range slices.Sorted(maps.Keys(messages)) {
		if m := messages[text]; !entries[text] && !*update {
			t.Errorf("%s:%d: this message has no entry in docs/messages.md. Add the next line, as it is, to the block of the section whose cause and remedy hold for it, or write a section of its own:\n%s", m.at.Filename, m.at.Line, text)
		}
	}
	if len(entries) < 1000 {
		t.Errorf("only %d entries were found", len(entries))
	}
}

// about are the packages whose messages have a remedy beside them, in the page's order.
var about = []struct{ dir, title string }{
	{"tlsconf", "Certificates, authorities, revocation lists and handshakes"},
	{"internal/check", "`sluice check`"},
	{"", "Others"},
}

// withRemedies is the section of messages.md that is made from the source.
func withRemedies(messages map[string]message) string {
	var b strings.Builder
	b.WriteString("\nThe program writes the remedy behind each of these, so it is only listed here, after `->`. They\n" +
		"concern what is to be, and no guest: a migration that fails by one leaves it at the source.\n")
	all := slices.SortedFunc(maps.Values(messages), func(x, y message) int {
		return cmp.Or(strings.Compare(x.at.Filename, y.at.Filename), cmp.Compare(x.at.Line, y.at.Line), strings.Compare(x.text, y.text))
	})
	for i, of := range about {
		var lines []string
		for _, m := range all {
			dir, _ := filepath.Rel("..", filepath.Dir(m.at.Filename))
			own := slices.IndexFunc(about, func(a struct{ dir, title string }) bool { return a.dir == dir || a.dir == "" })
			if m.remedy != "" && own == i {
				lines = append(lines, m.text+"\n  -> "+m.remedy+"\n")
			}
		}
		if len(lines) > 0 {
			b.WriteString("\n### " + of.title + "\n\n```text\n" + strings.Join(lines, "") + "```\n")
		}
	}
	return b.String()
}
