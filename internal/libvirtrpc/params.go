package libvirtrpc

import (
	"fmt"
	"slices"
)

// Of enum virTypedParameterType.
const (
	paramInt     = 1
	paramUint    = 2
	paramLlong   = 3
	paramUllong  = 4
	paramDouble  = 5
	paramBoolean = 6
	paramString  = 7
)

// Param is a typed parameter: a text, or some kind of number.
type Param struct {
	Field string
	Text  string
	kind  uint32
	bits  uint64 // of a number, as on the wire
}

// Params are a call's typed parameters, in their order.
type Params []Param

// Text is the text in field, and whether there is one. A field that is there twice, or is no text,
// is an error: who reads the first and who reads the last would not understand the same.
func (ps Params) Text(field string) (text string, is bool, err error) {
	for _, p := range ps {
		switch {
		case p.Field != field:
		case p.kind != paramString:
			return "", false, fmt.Errorf("parameter %s is no text", field)
		case is:
			return "", false, fmt.Errorf("parameter %s is given twice", field)
		default:
			text, is = p.Text, true
		}
	}
	return text, is, nil
}

// Int is the number in field, and whether there is one.
func (ps Params) Int(field string) (n int, is bool) {
	for _, p := range ps {
		if p.Field == field && (p.kind == paramInt || p.kind == paramUint) {
			return int(int32(p.bits)), true
		}
	}
	return 0, false
}

// Count is how often a field is there.
func (ps Params) Count(field string) (n int) {
	for _, p := range ps {
		if p.Field == field {
			n++
		}
	}
	return n
}

// Has says whether there is such a field.
func (ps Params) Has(field string) bool {
	return slices.ContainsFunc(ps, func(p Param) bool { return p.Field == field })
}

// Without is ps without these fields.
func (ps Params) Without(fields ...string) Params {
	return slices.DeleteFunc(slices.Clone(ps), func(p Param) bool { return slices.Contains(fields, p.Field) })
}

// With is ps with field set to text.
func (ps Params) With(field, text string) Params {
	return append(ps.Without(field), Param{Field: field, Text: text, kind: paramString})
}

// WithUlong is ps with field set to a number.
func (ps Params) WithUlong(field string, n uint64) Params {
	return append(ps.Without(field), Param{Field: field, kind: paramUllong, bits: n})
}

func (r *reader) params() Params {
	n := r.uint()
	if r.err == nil && n > maxParams {
		r.err = fmt.Errorf("%d parameters where %d are the most", n, maxParams)
	}
	var ps Params
	for i := uint32(0); i < n && r.err == nil; i++ {
		p := Param{Field: r.text(), kind: r.uint()}
		switch p.kind {
		case paramInt, paramUint, paramBoolean:
			p.bits = uint64(r.uint())
		case paramLlong, paramUllong, paramDouble:
			p.bits = r.ulong()
		case paramString:
			p.Text = r.text()
		default:
			if r.err == nil {
				r.err = fmt.Errorf("parameter %.80q is of unknown type %d", p.Field, p.kind)
			}
		}
		ps = append(ps, p)
	}
	return ps
}

func (w *writer) params(ps Params) {
	w.uint(uint32(len(ps)))
	for _, p := range ps {
		w.text(p.Field)
		w.uint(p.kind)
		switch p.kind {
		case paramString:
			w.text(p.Text)
		case paramLlong, paramUllong, paramDouble:
			w.ulong(p.bits)
		default:
			w.uint(uint32(p.bits))
		}
	}
}
