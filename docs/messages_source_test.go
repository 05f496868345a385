package docs

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/virt-sluice/sluice/"

// message is a format of what the program may say of something wrong, as people see it: … stands for
// what is put in.
type message struct {
	text   string
	remedy string // that the source has beside it; may be empty
	at     token.Position
}

// source is the program's, without its tests: cmd/sluice and the packages that it imports.
type source struct {
	fset  *token.FileSet
	files map[string][]*ast.File // by folder
	// printers are functions that are given a format: folder.name, and .name where others call them.
	printers map[string]printer
	structs  map[string]*ast.StructType // by folder.name
	found    map[string]message         // by text
	all      map[string]bool            // texts of whatever kind
}

// printer says which of a function's arguments are a format, and the remedy for what it tells (-1: none).
type printer struct{ format, remedy int }

// readMessages finds all messages in the source, and besides them all texts. What counts as a message:
//   - the format of an error, and of every function that is given a format last but for its arguments,
//     such as control.WrongUse;
//   - the message of a line of the log at the levels warn and up;
//   - the fields of messageFields, and what a method Error puts together.
//
// What goes on from another message, or has no words of its own, is none.
func readMessages(t *testing.T, root string) (messages map[string]message, all map[string]bool) {
	t.Helper()
	s := &source{fset: token.NewFileSet(), files: make(map[string][]*ast.File), printers: make(map[string]printer),
		structs: make(map[string]*ast.StructType), found: make(map[string]message), all: make(map[string]bool)}
	s.parse(t, root, "cmd/sluice")
	for dir, files := range s.files {
		for _, file := range files {
			ast.Inspect(file, func(n ast.Node) bool { return s.declare(dir, n) })
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(s.files)) {
		for _, file := range s.files[dir] {
			ast.Inspect(file, func(n ast.Node) bool { return s.look(dir, n) })
		}
	}
	return s.found, s.all
}

// parse reads a package and those of the module that it imports.
func (s *source) parse(t *testing.T, root, dir string) {
	t.Helper()
	if _, done := s.files[dir]; done {
		return
	}
	paths, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no Go files in %s (%v)", dir, err)
	}
	s.files[dir] = nil
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(s.fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		s.files[dir] = append(s.files[dir], file)
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if local, ok := strings.CutPrefix(imported, module); ok {
				s.parse(t, root, local)
			}
		}
	}
}

// neutral are functions that take a format, of what is no trouble, or is only not known.
var neutral = []string{"OK", "note", "Decided", "Limited", "tell", "Unknown", "noAnswer"}

// declare notes structs, and functions and variables of functions that take a format.
func (s *source) declare(dir string, n ast.Node) bool {
	switch n := n.(type) {
	case *ast.FuncDecl:
		s.printer(dir, n.Name.Name, n.Type)
	case *ast.AssignStmt:
		for i, right := range n.Rhs {
			literal, ok := right.(*ast.FuncLit)
			if name, isName := n.Lhs[i].(*ast.Ident); ok && isName {
				s.printer(dir, name.Name, literal.Type)
			}
		}
	case *ast.TypeSpec:
		if of, ok := n.Type.(*ast.StructType); ok {
			s.structs[dir+"."+n.Name.Name] = of
		}
	}
	return true
}

// printer notes a function whose parameters end as fmt.Errorf's do.
func (s *source) printer(dir, name string, of *ast.FuncType) {
	params := of.Params.List
	if len(params) < 2 || slices.Contains(neutral, name) {
		return
	}
	rest, variadic := params[len(params)-1].Type.(*ast.Ellipsis)
	if !variadic || called(rest.Elt) != "any" {
		return
	}
	p := printer{of.Params.NumFields() - 2, -1}
	i := 0
	for _, field := range params {
		for _, param := range field.Names {
			if param.Name == "remedy" {
				p.remedy = i
			}
			i++
		}
	}
	s.printers[dir+"."+name] = p
	if ast.IsExported(name) {
		s.printers["."+name] = p
	}
}

// messageFields are those of structs that people see as they are.
var messageFields = []string{"Text", "What", "what", "Message", "Cause", "Refused", "Reason", "Problem"}

func (s *source) look(dir string, n ast.Node) bool {
	switch n := n.(type) {
	case *ast.CallExpr:
		if p, ok := s.called(dir, n); ok && p.format < len(n.Args) {
			remedy := ""
			if p.remedy >= 0 {
				remedy, _ = formatOf(n.Args[p.remedy])
			}
			s.add(n.Args[p.format], remedy)
		}
	case *ast.BasicLit, *ast.BinaryExpr:
		if text, ok := formatOf(n.(ast.Expr)); ok {
			s.all[asShown(text)] = true
		}
	case *ast.CompositeLit:
		s.literal(dir, n, n.Type)
	case *ast.CaseClause:
		s.assigned(n.Body)
	case *ast.BlockStmt:
		s.assigned(n.List)
	case *ast.FuncDecl:
		if n.Recv != nil && n.Name.Name == "Error" && n.Body != nil {
			ast.Inspect(n.Body, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					s.printed(call, "")
				}
				return true
			})
		}
	}
	return true
}

// called is what a call prints.
func (s *source) called(dir string, call *ast.CallExpr) (printer, bool) {
	name := called(call.Fun)
	first := printer{0, -1}
	switch {
	case name == "fmt.Errorf" || name == "errors.New":
		return first, true
	case strings.HasSuffix(name, ".Refused"):
		return printer{1, -1}, true
	case strings.HasSuffix(name, ".Msg") || strings.HasSuffix(name, ".Msgf"):
		return first, strings.Contains(name, ".Warn().") || strings.Contains(name, ".Error().") || strings.Contains(name, ".Fatal().")
	}
	last := name[strings.LastIndex(name, ".")+1:]
	p, ok := s.printers[dir+"."+last]
	if !ok {
		p, ok = s.printers["."+last]
	}
	return p, ok
}

// called is the function of a call as it is written, without what it is given.
func called(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return called(e.X) + "." + e.Sel.Name
	case *ast.CallExpr:
		return called(e.Fun) + "()"
	}
	return ""
}

// literal adds the fields of a struct that is written out; of says of which type it is.
func (s *source) literal(dir string, lit *ast.CompositeLit, of ast.Expr) {
	fields := make(map[string]ast.Expr)
	var names []string
	switch of := of.(type) {
	case *ast.Ident:
		if own := s.structs[dir+"."+of.Name]; own != nil {
			names = fieldNames(own)
		}
	case *ast.StructType:
		names = fieldNames(of)
	case *ast.MapType:
		s.elements(dir, lit, of.Value)
	case *ast.ArrayType:
		s.elements(dir, lit, of.Elt)
	}
	for i, element := range lit.Elts {
		if pair, ok := element.(*ast.KeyValueExpr); ok {
			fields[called(pair.Key)] = pair.Value
		} else if i < len(names) {
			fields[names[i]] = element
		}
	}
	for _, name := range messageFields {
		s.printed(fields[name], textOf(cmp.Or(fields["remedy"], fields["Remedy"])))
	}
}

func (s *source) elements(dir string, lit *ast.CompositeLit, of ast.Expr) {
	for _, element := range lit.Elts {
		if pair, ok := element.(*ast.KeyValueExpr); ok {
			element = pair.Value
		}
		if own, ok := element.(*ast.CompositeLit); ok && own.Type == nil {
			s.literal(dir, own, of)
		}
	}
}

func fieldNames(of *ast.StructType) (names []string) {
	for _, field := range of.Fields.List {
		for _, name := range field.Names {
			names = append(names, name.Name)
		}
	}
	return names
}

// assigned adds what is assigned to such fields by a list of statements.
func (s *source) assigned(list []ast.Stmt) {
	remedy := ""
	var texts []ast.Expr
	for _, statement := range list {
		a, ok := statement.(*ast.AssignStmt)
		if !ok || a.Tok != token.ASSIGN || len(a.Lhs) != len(a.Rhs) {
			continue
		}
		for i, left := range a.Lhs {
			to, ok := left.(*ast.SelectorExpr)
			switch {
			case !ok:
			case to.Sel.Name == "Remedy":
				remedy = textOf(a.Rhs[i])
			case slices.Contains(messageFields, to.Sel.Name):
				texts = append(texts, a.Rhs[i])
			}
		}
	}
	for _, text := range texts {
		s.printed(text, remedy)
	}
}

// printed adds e, or what fmt.Sprintf makes it of.
func (s *source) printed(e ast.Expr, remedy string) {
	if call, ok := e.(*ast.CallExpr); ok && called(call.Fun) == "fmt.Sprintf" {
		e = call.Args[0]
	}
	s.add(e, remedy)
}

func (s *source) add(e ast.Expr, remedy string) {
	format, _ := formatOf(e)
	if text := asShown(format); isWhole(text) {
		s.found[text] = message{text, cmp.Or(asShown(remedy), s.found[text].remedy), s.fset.Position(e.Pos())}
	}
}

func textOf(e ast.Expr) string {
	if call, ok := e.(*ast.CallExpr); ok && called(call.Fun) == "fmt.Sprintf" {
		e = call.Args[0]
	}
	text, _ := formatOf(e)
	return text
}

// formatOf is a text that the source holds, with verbs for what is added to it.
func formatOf(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			s, err := strconv.Unquote(e.Value)
			return s, err == nil
		}
	case *ast.ParenExpr:
		return formatOf(e.X)
	case *ast.BinaryExpr:
		x, okX := formatOf(e.X)
		y, okY := formatOf(e.Y)
		if e.Op == token.ADD && (okX || okY) {
			return cmp.Or(x, "%v") + cmp.Or(y, "%v"), true
		}
	}
	return "", false
}

var (
	verb = regexp.MustCompile(`%(?:%|[-+# 0]*(?:\[\d+\])?[\d*]*(?:\.\d+)?[a-zA-Z])`)
	word = regexp.MustCompile(`\pL{2,}`)
)

// asShown is a format as people see it.
func asShown(format string) string {
	s := verb.ReplaceAllStringFunc(format, func(v string) string {
		if v == "%%" {
			return "%"
		}
		return "…"
	})
	return strings.Join(strings.Fields(s), " ")
}

// isWhole says whether a text is a message: it has words of its own, and does not go on from others.
func isWhole(text string) bool {
	own := slices.ContainsFunc(strings.Split(text, "…"), func(part string) bool { return len(part) >= LeastOwn })
	return own && len(word.FindAllString(text, 2)) == 2 && !strings.ContainsAny(text[:1], ";,.:(")
}
