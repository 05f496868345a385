package domainxml

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

const someUUID = "d7a2f9bc-6a1e-4d0e-8a3b-0123456789ab"

// description is a guest's, with what is given for its name and UUID, that
// libvirt's test driver takes.
func description(identity string) string {
	return "<domain type='test'>" + identity + rest
}

const rest = "<memory>1024</memory><os><type>hvm</type></os></domain>"

const ordinary = "<name>g</name><uuid>" + someUUID + "</uuid>"

// accepted are descriptions that are read, with what is read.
var accepted = map[string]struct{ text, name, uuid string }{
	"ordinary":                    {description(ordinary), "g", someUUID},
	"declaration":                 {"<?xml version='1.0' encoding=\"utf-8\"?>\n<!-- c -->\n" + description(ordinary), "g", someUUID},
	"order":                       {description("<uuid>" + someUUID + "</uuid><name>g</name>"), "g", someUUID},
	"entities":                    {description("<name>a&amp;b&lt;&gt;&quot;&apos;&#x41;&#66;</name><uuid>" + someUUID + "</uuid>"), "a&b<>\"'AB", someUUID},
	"entity in the UUID":          {description("<name>g</name><uuid>&#100;" + someUUID[1:] + "</uuid>"), "g", someUUID},
	"spaces in the name":          {description("<name> g </name><uuid>" + someUUID + "</uuid>"), " g ", someUUID},
	"no hyphens":                  {description("<name>g</name><uuid>" + strings.ReplaceAll(someUUID, "-", "") + "</uuid>"), "g", strings.ReplaceAll(someUUID, "-", "")},
	"attributes":                  {description("<name a='1'>g</name><uuid b='&gt;'>" + someUUID + "</uuid>"), "g", someUUID},
	"other letters":               {description("<name>gäst-客</name><uuid>" + someUUID + "</uuid>"), "gäst-客", someUUID},
	"UUID of another namespace":   {description("<e:uuid xmlns:e='urn:e'>11111111-1111-1111-1111-111111111111</e:uuid>" + ordinary), "g", someUUID},
	"UUID of a default namespace": {description("<uuid xmlns='urn:e'>11111111-1111-1111-1111-111111111111</uuid>" + ordinary), "g", someUUID},
	"name of a prefix of nothing": {description("<e:name>h</e:name>" + ordinary), "g", someUUID},
	"deeper":                      {description("<metadata><name>h</name><uuid>x</uuid></metadata>" + ordinary), "g", someUUID},
	"end with a space":            {description("<name>g</name ><uuid>" + someUUID + "</uuid\n>"), "g", someUUID},
	"CDATA elsewhere":             {description("<description><![CDATA[<name>h</name>]]></description>" + ordinary), "g", someUUID},
	"comment elsewhere":           {description("<!-- <name>h</name> -->" + ordinary), "g", someUUID},
	"default namespace undone":    {description("<name xmlns=''>g</name><uuid>" + someUUID + "</uuid>"), "g", someUUID},
}

// refused are descriptions that are not read, with a word of the reason.
var refused = map[string]struct{ text, word string }{
	"two UUIDs":                 {description(ordinary + "<uuid>" + someUUID + "</uuid>"), "more than one <uuid>"},
	"two names":                 {description("<name>a</name>" + ordinary), "more than one <name>"},
	"a hidden second":           {description(ordinary + "<uuid xmlns=''>" + someUUID + "</uuid>"), "more than one <uuid>"},
	"no name":                   {description("<uuid>" + someUUID + "</uuid>"), "no <name>"},
	"no UUID":                   {description("<name>g</name>"), "no <uuid>"},
	"empty UUID":                {description("<name>g</name><uuid/>"), "no <uuid>"},
	"UUID of a namespace alone": {description("<name>g</name><e:uuid xmlns:e='urn:e'>" + someUUID + "</e:uuid>"), "no <uuid>"},
	"root's default namespace":  {"<domain xmlns='urn:e' type='test'>" + ordinary + rest, "root"},
	"root's prefix":             {"<e:domain xmlns:e='urn:e' type='test'>" + ordinary + strings.Replace(rest, "</domain", "</e:domain", 1), "root"},
	"another root":              {"<domains>" + ordinary + "</domains>", "root"},
	"two roots":                 {description(ordinary) + description(ordinary), "two roots"},
	"text behind":               {description(ordinary) + "x", "outside"},
	"CDATA":                     {description("<name><![CDATA[g]]></name><uuid>" + someUUID + "</uuid>"), "more in it"},
	"comment":                   {description("<name>g<!-- -->h</name><uuid>" + someUUID + "</uuid>"), "more in it"},
	"comment that ends":         {description("<name>g<!-- </name> -->h</name><uuid>" + someUUID + "</uuid>"), "more in it"},
	"element":                   {description("<name>g<b>h</b></name><uuid>" + someUUID + "</uuid>"), "an element in it"},
	"instruction":               {description("<name>g<?p?></name><uuid>" + someUUID + "</uuid>"), "processing instruction"},
	"DOCTYPE":                   {"<!DOCTYPE domain [<!ENTITY n 'h'>]>" + description("<name>&n;</name><uuid>"+someUUID+"</uuid>"), "DOCTYPE"},
	"DOCTYPE with defaults":     {"<!DOCTYPE domain [<!ATTLIST name xmlns CDATA 'urn:e'>]>" + description(ordinary), "DOCTYPE"},
	"entity of nobody":          {description("<name>&n;</name><uuid>" + someUUID + "</uuid>"), "entity"},
	"UTF-7":                     {"<?xml version='1.0' encoding='UTF-7'?>" + description("<name>+AGc-</name><uuid>"+someUUID+"</uuid>"), "encoding"},
	"Latin 1":                   {"<?xml version='1.0' encoding='iso-8859-1'?>" + description("<name>gä</name><uuid>"+someUUID+"</uuid>"), "encoding"},
	"two encodings":             {"<?xml version='1.0' encoding='utf-8' encoding='UTF-7'?>" + description(ordinary), "instruction"},
	"XML 1.1":                   {"<?xml version='1.1'?>" + description(ordinary), "version"},
	"late declaration":          {" <?xml version='1.0'?>" + description(ordinary), "instruction"},
	"UTF-16":                    {"\xff\xfe<\x00d\x00", "UTF-8"},
	"byte order mark":           {"\ufeff" + description(ordinary), "outside"},
	"NUL":                       {description(ordinary) + "\x00<x/>", "U+0000"},
	"cut":                       {description(ordinary)[:60], "unexpected EOF"},
	"empty":                     {"", "empty"},
	"deep":                      {description(ordinary + strings.Repeat("<a>", MaxDepth) + strings.Repeat("</a>", MaxDepth)), "deep"},
	"many elements":             {description(ordinary + strings.Repeat("<a/>", MaxElements)), "elements"},
	"many attributes":           {description(ordinary + strings.Repeat("<a b='' c='' d='' e=''/>", MaxAttributes/4)), "attributes"},
	"many attributes of one":    {description(ordinary + "<a " + strings.Repeat("b='' ", 2*MaxAttributes) + "/>"), "attributes"},
	"many beginnings":           {"<domain>" + strings.Repeat("<", 4*MaxElements), "elements"},
	"long":                      {description(ordinary) + strings.Repeat(" ", MaxSize), "bytes"},
}

func TestAccepted(t *testing.T) {
	for name, c := range accepted {
		if g, err := Read(c.text); err != nil || g != (Guest{c.name, c.uuid}) {
			t.Errorf("%s: %+v, %v", name, g, err)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, c := range refused {
		if g, err := Read(c.text); err == nil || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %+v, %v", name, g, err)
		}
	}
}

// The worst that passes the counting before it is read: what it takes does not
// depend on what a tree of it would.
func TestMemory(t *testing.T) {
	for name, text := range map[string]string{
		"elements":   description(ordinary + strings.Repeat("<disk/>", MaxElements-10)),
		"attributes": description(ordinary + "<a " + strings.Repeat("b='' ", MaxAttributes-10) + "/>"),
		"refused":    strings.Repeat("<disk/>", 9<<20/7),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		Read(text)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 24<<20 {
			t.Errorf("%s: %d bytes allocated for %d", name, took, len(text))
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for name, text := range map[string]string{
		"ordinary": description(ordinary + strings.Repeat("<devices><disk type='file'><target dev='vda'/></disk></devices>", 20)),
		"worst":    description(ordinary + strings.Repeat("<disk/>", MaxElements-10)),
		"refused":  strings.Repeat("<disk/>", 9<<20/7),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for range b.N {
				Read(text)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	for _, c := range accepted {
		f.Add(c.text)
	}
	for _, c := range refused {
		if len(c.text) < 1000 {
			f.Add(c.text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		g, err := Read(text)
		if err != nil {
			return
		}
		if g.Name == "" || g.UUID == "" {
			t.Fatalf("%q is read as %+v", text, g)
		}
		// Whatever it is, it can be said again, and is the same.
		again, err := Read(description(fmt.Sprintf("<name>%s</name><uuid>%s</uuid>", escape(g.Name), escape(g.UUID))))
		if err != nil || again != g {
			t.Fatalf("%+v becomes %+v, %v", g, again, err)
		}
	})
}
