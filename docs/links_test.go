package docs

import (
	"fmt"
	"html"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// TestLinks checks every link of every document that stays in the repository:
// the file must be there, and in it the heading or line behind a '#', as GitHub
// finds them. Links elsewhere need only be well-formed.
func TestLinks(t *testing.T) {
	const root = ".."
	seen := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".md" {
			return nil
		}
		doc, err := read(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return nil
		}
		for _, l := range doc.links {
			seen++
			if err := check(root, path, l.to); err != nil {
				t.Errorf("%s:%d: link to %q: %v", path, l.line, l.to, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Error("no document has a link")
	}
}

// check follows a link of the document at path.
func check(root, path, link string) error {
	u, err := url.Parse(link)
	if err != nil {
		return err
	}
	switch {
	case u.Scheme == "https" || u.Scheme == "http" || u.Scheme == "mailto":
		return nil
	case u.Scheme != "" || u.Host != "" || u.RawQuery != "":
		return fmt.Errorf("neither a file's path nor a web page")
	}
	file := path
	switch {
	case strings.HasPrefix(u.Path, "/"):
		file = filepath.Join(root, u.Path)
	case u.Path != "":
		file = filepath.Join(filepath.Dir(path), u.Path)
	}
	if in, err := filepath.Rel(root, file); err != nil || !filepath.IsLocal(in) {
		return fmt.Errorf("it leaves the repository")
	}
	if _, err := os.Stat(file); err != nil {
		return err
	}
	switch {
	case u.Fragment == "":
		return nil
	case filepath.Ext(file) == ".md":
		doc, err := read(file)
		if err == nil && !slices.Contains(doc.anchors, u.Fragment) {
			err = fmt.Errorf("%s has no heading #%s; it has %q", file, u.Fragment, doc.anchors)
		}
		return err
	}
	return checkLines(file, u.Fragment)
}

var lines = regexp.MustCompile(`^L(\d+)(?:-L(\d+))?$`)

// checkLines follows a link to lines of a file that has no headings: L7, L7-L9.
func checkLines(file, fragment string) error {
	m := lines.FindStringSubmatch(fragment)
	if m == nil {
		return fmt.Errorf("%s has no headings: want #L and a line's number", file)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, number := range m[1:] {
		if n, _ := strconv.Atoi(number); n > strings.Count(string(raw), "\n") {
			return fmt.Errorf("%s has no line %d", file, n)
		}
	}
	return nil
}

// document is what links go from and to.
type document struct {
	links   []link
	anchors []string
}

type link struct {
	to   string
	line int
}

func read(path string) (*document, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parse(source)
}

// Of HTML within a document, these attributes are links, and those are anchors.
var (
	htmlLink   = regexp.MustCompile(`(?i)\s(?:href|src|srcset)\s*=\s*"([^"]*)"`)
	htmlAnchor = regexp.MustCompile(`(?i)\s(?:id|name)\s*=\s*"([^"]*)"`)
	// unresolved stays in the text where a reference has no definition, or a link a space in it.
	unresolved = regexp.MustCompile(`[^\[\]]*\][(\[].{0,20}`)
)

func parse(source []byte) (*document, error) {
	var doc document
	root := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(source))
	line := 1 // of the last block
	add := func(to string) { doc.links = append(doc.links, link{to, line}) }
	markup := func(raw []byte) {
		for _, m := range htmlLink.FindAllSubmatch(raw, -1) {
			add(html.UnescapeString(string(m[1])))
		}
		for _, m := range htmlAnchor.FindAllSubmatch(raw, -1) {
			doc.anchors = append(doc.anchors, html.UnescapeString(string(m[1])))
		}
	}
	var broken error
	err := ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		if n.Type() == ast.TypeBlock && n.Lines().Len() > 0 {
			line = 1 + strings.Count(string(source[:n.Lines().At(0).Start]), "\n")
		}
		switch n := n.(type) {
		case *ast.Heading:
			doc.heading(words(n, source, true))
		case *ast.Link:
			add(string(n.Destination))
		case *ast.Image:
			add(string(n.Destination))
		case *ast.HTMLBlock:
			markup(n.Lines().Value(source))
		case *ast.RawHTML:
			markup(n.Segments.Value(source))
		case *ast.Paragraph, *ast.TextBlock:
			if at := unresolved.FindString(words(n, source, false)); at != "" && broken == nil {
				broken = fmt.Errorf("line %d: %q is no link: is its definition missing?", line, at)
			}
		}
		return ast.WalkContinue, nil
	})
	if err == nil {
		err = broken
	}
	return &doc, err
}

// words is the text of a block without its markup, with or without what is code.
func words(block ast.Node, source []byte, code bool) string {
	var b strings.Builder
	ast.Walk(block, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if n.Kind() == ast.KindCodeSpan && !code {
			return ast.WalkSkipChildren, nil
		}
		if t, ok := n.(*ast.Text); ok && entering {
			b.Write(t.Value(source))
			if t.SoftLineBreak() {
				b.WriteByte(' ')
			}
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

// heading adds the anchor that GitHub gives a heading: its words in lower case, '-' for each space,
// without punctuation; numbered from the second on where several are alike.
func (d *document) heading(words string) {
	anchor := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsNumber(r):
			return unicode.ToLower(r)
		}
		return -1
	}, words)
	unique := anchor
	for n := 1; slices.Contains(d.anchors, unique); n++ {
		unique = fmt.Sprintf("%s-%d", anchor, n)
	}
	d.anchors = append(d.anchors, unique)
}

func TestCheck(t *testing.T) {
	root := t.TempDir()
	for name, content := range map[string]string{
		"README.md":     "# Title\n\n## `code` and *more*, twice\n\n## code and more, twice\n\n<a id=\"own\"></a>\n",
		"docs/other.md": "Über *it*\n=====\n",
		"docs/it.go":    "package docs\n\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, want := range map[string]string{
		"https://example.com/#any":    "",
		"mailto:security@example.com": "",
		"docs":                        "",
		"docs/other.md":               "",
		"/docs/other.md":              "",
		"docs/other.md#%C3%BCber-it":  "",
		"#title":                      "",
		"#code-and-more-twice":        "",
		"#code-and-more-twice-1":      "",
		"#own":                        "",
		"docs/it.go#L2":               "",
		"docs/it.go#L1-L2":            "",
		"docs/none.md":                "no such file",
		"docs/Other.md":               "no such file",
		"../other/README.md":          "leaves the repository",
		"#code-and-more-twice-2":      "no heading",
		"#Title":                      "no heading",
		"docs/other.md#title":         "no heading",
		"docs/it.go#L3":               "no line 3",
		"docs/it.go#title":            "want #L",
		"file:///etc/passwd":          "neither",
		"//example.com/docs":          "neither",
		"docs/other.md?plain=1":       "neither",
		"http://[::1":                 "missing ']'",
	} {
		err := check(root, filepath.Join(root, "README.md"), link)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", link, err, want)
		}
	}
}

func TestParse(t *testing.T) {
	doc, err := parse([]byte("# A\n\nsee [one](a.md), ![two](b.svg)\nand [three][3], `[no](c.md)`.\n\n| a |\n| - |\n| [four](d.md) |\n\n" +
		"<img alt=\"x\"\n src=\"e.svg\">\n\n```\n[no](f.md)\n```\n\n[3]: g.md#h\n"))
	want := []link{{"a.md", 3}, {"b.svg", 3}, {"g.md#h", 3}, {"d.md", 8}, {"e.svg", 10}}
	if err != nil || !slices.Equal(doc.links, want) {
		t.Errorf("links %v (%v), want %v", doc.links, err, want)
	}
	for _, broken := range []string{"see [one][two].\n", "- see [one](a b.md)\n"} {
		if doc, err := parse([]byte(broken)); err == nil {
			t.Errorf("%q has the links %v", broken, doc.links)
		}
	}
}
