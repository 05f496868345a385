package control

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write docs/openapi.yaml")

const (
	descriptionFile = "../../docs/openapi.yaml"
	pageFile        = "../../docs/api.md"
)

// docs/openapi.yaml is what routes, the types and their comments, and docs/api.md make. A route that
// the page does not tell of, and one that it tells of and that does not exist, are caught here; that
// daemons answer as it says, by the tests of packages proxy and test.
func TestDescription(t *testing.T) {
	want := describe(t)
	if *update {
		if err := os.WriteFile(descriptionFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(descriptionFile)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the routes, types and %s make (%v): go test ./proxy/control -run TestDescription -update", descriptionFile, pageFile, err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(got)
	if err == nil {
		err = doc.Validate(t.Context())
	}
	if err != nil {
		t.Errorf("%s is no OpenAPI document: %v", descriptionFile, err)
	}
}

// describe makes the document.
func describe(t *testing.T) []byte {
	d := &description{t: t, comments: make(map[string]string), words: make(map[string][]string), schemas: make(map[string]*yaml.Node)}
	d.readComments()
	page := sections(t)
	paths := object()
	for _, r := range routes {
		title := r.method + " " + r.path
		text := page[title]
		if text == "" {
			t.Errorf("%s has no section for %s", pageFile, title)
		}
		delete(page, title)
		item := member(paths, r.path)
		if item == nil {
			item = object()
			add(paths, r.path, item)
		}
		add(item, strings.ToLower(r.method), d.operation(&r, text))
	}
	for title := range page {
		t.Errorf("%s tells of %s, which there is not", pageFile, title)
	}
	d.schema(typeOf[Error]())
	schemas := object()
	for _, name := range slices.Sorted(maps.Keys(d.schemas)) {
		add(schemas, name, d.schemas[name])
	}
	doc := object(
		"openapi", "3.1.0",
		"info", object(
			"title", "sluice",
			"version", "1",
			"description", "HTTP/1.1 over the daemon's control socket, /run/sluice/control.sock by default. docs/api.md tells more, and what may change.",
			"license", object("name", "Apache License 2.0", "identifier", "Apache-2.0"),
		),
		"servers", list(object("url", "http://sluice", "description", "over the control socket; the name is never looked up")),
		"paths", paths,
		"components", object("schemas", schemas),
	)
	var out bytes.Buffer
	out.WriteString("# Made of proxy/control and docs/api.md: go test ./proxy/control -run TestDescription -update\n")
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(doc); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// sections are the first paragraphs of the page's sections about requests, by the requests.
func sections(t *testing.T) map[string]string {
	text, err := os.ReadFile(pageFile)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^### `([A-Z]+ /.*)`\n\n((?:.+\n)+)").FindAllStringSubmatch(string(text), -1) {
		all[m[1]] = regexp.MustCompile(`\[([^]]+)\]\([^)]+\)`).ReplaceAllString(oneLine(m[2]), "$1")
	}
	return all
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

type description struct {
	t        *testing.T
	comments map[string]string   // of types, and of fields as Type.Field
	words    map[string][]string // values of constants, by the first line of their block's comment
	schemas  map[string]*yaml.Node
}

func (d *description) operation(r *route, text string) *yaml.Node {
	summary, _, _ := strings.Cut(text, ". ")
	op := object("operationId", operationID(r), "summary", strings.TrimSuffix(summary, "."), "description", text)
	parameters := list[any]()
	if strings.Contains(r.path, nameSegment) {
		parameters.Content = append(parameters.Content, object("name", nameValue, "in", "path", "required", true,
			"description", "a guest's name or UUID, or a session's ID, of which eight digits will do", "schema", object("type", "string")))
	}
	if r.filters {
		for name, v := range map[string]*yaml.Node{ // sorted below
			"guest": object("type", "string"), "failed": object("type", "boolean"),
			"since": object("type", "string", "format", "date-time"), "limit": object("type", "integer", "minimum", 0)} {
			parameters.Content = append(parameters.Content, object("name", name, "in", "query", "schema", v))
		}
		slices.SortFunc(parameters.Content, func(a, b *yaml.Node) int { return strings.Compare(a.Content[1].Value, b.Content[1].Value) })
	}
	if len(parameters.Content) > 0 {
		add(op, "parameters", parameters)
	}
	if r.request != nil {
		add(op, "requestBody", object("required", true, "content", object("application/json", object("schema", d.closed(r.request)))))
	}
	kind, words := "application/json", "done"
	if r.stream {
		kind, words = "application/jsonl", "a stream of objects, one a line"
	}
	add(op, "responses", object(
		"200", object("description", words, "content", object(kind, object("schema", d.schema(r.answer)))),
		"default", object("description", "refused: nothing was started", "content", object("application/json", object("schema", d.schema(typeOf[Error]()))))))
	return op
}

// operationID is such as getSessionsEvents.
func operationID(r *route) string {
	id := strings.ToLower(r.method)
	for part := range strings.SplitSeq(strings.TrimPrefix(r.path, "/v1/"), "/") {
		if part != nameSegment {
			id += strings.ToUpper(part[:1]) + part[1:]
		}
	}
	if strings.HasSuffix(r.path, nameSegment) {
		id += "ByName"
	}
	return id
}

// closed is the schema of a request, which has no members but those that are described.
func (d *description) closed(of reflect.Type) *yaml.Node {
	if of.Name() == "" {
		return object("type", "object", "additionalProperties", false)
	}
	ref := d.schema(of)
	if s := d.schemas[of.Name()]; member(s, "additionalProperties") == nil {
		add(s, "additionalProperties", false)
	}
	return ref
}

// schema is a reference to a struct, which is described, or a description of another type.
func (d *description) schema(of reflect.Type) *yaml.Node {
	switch {
	case of == reflect.TypeFor[time.Time]():
		return object("type", "string", "format", "date-time")
	case of == reflect.TypeFor[time.Duration]():
		return object("type", "integer", "format", "int64")
	case of == reflect.TypeFor[Values]():
		return values()
	}
	switch of.Kind() {
	case reflect.String:
		return object("type", "string")
	case reflect.Bool:
		return object("type", "boolean")
	case reflect.Int, reflect.Int64:
		return object("type", "integer", "format", "int64")
	case reflect.Uint32, reflect.Uint64:
		return object("type", "integer", "minimum", 0)
	case reflect.Float64:
		return object("type", "number")
	case reflect.Slice:
		return object("type", "array", "items", d.schema(of.Elem()))
	case reflect.Pointer:
		return d.schema(of.Elem())
	case reflect.Struct:
		if of.NumField() == 0 {
			return object("type", "object")
		}
		if _, known := d.schemas[of.Name()]; !known {
			s, properties := object("type", "object"), object()
			d.schemas[of.Name()] = s // before its fields, which may have it
			if c := d.comments[of.Name()]; c != "" {
				add(s, "description", c)
			} else {
				d.t.Errorf("type %s has no comment", of.Name())
			}
			required := list[any]()
			d.fields(of, properties, required)
			if len(required.Content) > 0 {
				add(s, "required", required)
			}
			add(s, "properties", properties)
		}
		return object("$ref", "#/components/schemas/"+of.Name())
	}
	d.t.Fatalf("there is no description of %v", of)
	return nil
}

// fields describes those of a struct, and of those that are embedded in it.
func (d *description) fields(of reflect.Type, properties, required *yaml.Node) {
	for i := range of.NumField() {
		f := of.Field(i)
		if f.Anonymous {
			d.fields(f.Type, properties, required)
			continue
		}
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch name {
		case "-":
			continue
		case "":
			d.t.Errorf("%v.%s has no name in JSON", of, f.Name)
		}
		s, text := d.schema(f.Type), d.comments[of.Name()+"."+f.Name]
		if strings.HasSuffix(name, "_ns") {
			text = strings.TrimPrefix(text+"; nanoseconds", "; ")
		}
		if block, is := wordsOf[of.Name()+"."+f.Name]; is {
			known := d.words[block]
			if known == nil {
				d.t.Errorf("there are no constants %q", block)
			}
			if strings.HasSuffix(of.Name(), "Request") {
				add(s, "enum", list(known...))
			} else {
				add(s, "examples", list(known...))
			}
		}
		if text != "" {
			add(s, "description", text)
		}
		add(properties, name, s)
		if option == "" {
			required.Content = append(required.Content, scalar(name))
		}
	}
}

// wordsOf are the constants that fields have as values. Answers may have others later.
var wordsOf = map[string]string{
	"MigrateRequest.CopyStorage":   "What CopyStorage may be.",
	"MigrateRequest.TimeoutAction": "What happens when a migration's Timeout has passed.",
	"MigrateRequest.TLS":           "Three states of a setting that follows the host's default while unset.",
	"ResolveRequest.Runs":          "Where a guest is, in an operator's word.",
	"Progress.Phase":               "Phases of a migration, in order.",
	"PhaseStart.Phase":             "Phases of a migration, in order.",
	"SessionStatus.Phase":          "Phases of a migration, in order.",
	"SessionStatus.Direction":      "Directions of a session, seen from this host.",
	"CancelReply.Direction":        "Directions of a session, seen from this host.",
	"SessionStatus.Outcome":        "Outcomes of a migration.",
	"CancelReply.Outcome":          "Outcomes of a migration.",
	"Result.Outcome":               "Outcomes of a migration.",
	"Note.Kind":                    "Kinds of a Note.",
	"Finding.Result":               "Results of a Finding.",
	"Report.By":                    "Who did a check: a daemon, with what it has in use, or the command line, with the configuration as it is on disk.",
	"PeerView.Found":               "What is found at a peer.",
}

// values describes the options of Options.
func values() *yaml.Node {
	numbers, lists := object(), object()
	for _, o := range Options {
		usage := strings.ReplaceAll(o.Usage, "`", "")
		if o.List {
			add(lists, o.Name, object("type", "array", "items", object("type", "string"), "description", usage))
		} else {
			add(numbers, o.Name, object("type", "integer", "minimum", 0, "maximum", o.Max, "description", usage))
		}
	}
	shut := func(properties *yaml.Node) *yaml.Node {
		return object("type", "object", "additionalProperties", false, "properties", properties)
	}
	return shut(object("numbers", shut(numbers), "lists", shut(lists)))
}

// readComments reads the package's source.
func (d *description) readComments() {
	files, err := os.ReadDir(".")
	if err != nil {
		d.t.Fatal(err)
	}
	for _, e := range files {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, parser.ParseComments)
		if err != nil {
			d.t.Fatal(err)
		}
		for _, decl := range f.Decls {
			if decl, ok := decl.(*ast.GenDecl); ok {
				d.readDeclaration(decl)
			}
		}
	}
}

func (d *description) readDeclaration(decl *ast.GenDecl) {
	for _, spec := range decl.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if s, ok := spec.Type.(*ast.StructType); ok {
				d.comments[spec.Name.Name] = oneLine(decl.Doc.Text())
				for _, f := range s.Fields.List {
					for _, name := range f.Names {
						d.comments[spec.Name.Name+"."+name.Name] = oneLine(f.Doc.Text() + " " + f.Comment.Text())
					}
				}
			}
		case *ast.ValueSpec:
			for _, v := range spec.Values {
				if lit, ok := v.(*ast.BasicLit); ok && decl.Tok == token.CONST && lit.Kind == token.STRING {
					if word, err := strconv.Unquote(lit.Value); err == nil && word != "" {
						block := oneLine(decl.Doc.Text())
						d.words[block] = append(d.words[block], word)
					}
				}
			}
		}
	}
}

// What YAML is made of. A mapping keeps its order.

func object(members ...any) *yaml.Node {
	o := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i < len(members); i += 2 {
		add(o, members[i].(string), members[i+1])
	}
	return o
}

func add(o *yaml.Node, name string, value any) {
	o.Content = append(o.Content, scalar(name), scalar(value))
}

func member(o *yaml.Node, name string) *yaml.Node {
	for i := 0; i < len(o.Content); i += 2 {
		if o.Content[i].Value == name {
			return o.Content[i+1]
		}
	}
	return nil
}

func list[T any](elements ...T) *yaml.Node {
	l := &yaml.Node{Kind: yaml.SequenceNode}
	for _, e := range elements {
		l.Content = append(l.Content, scalar(e))
	}
	return l
}

// scalar is a node as it is, and of any other value one.
func scalar(value any) *yaml.Node {
	if n, ok := value.(*yaml.Node); ok {
		return n
	}
	n := new(yaml.Node)
	if err := n.Encode(value); err != nil {
		panic(fmt.Sprintf("%v: %v", value, err)) // of a test's own
	}
	return n
}
