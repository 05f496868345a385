package tlsconf

import (
	"slices"
	"strings"
)

// nearest is the known token that is most like t, in t's own form, or "" if none is much like it.
func nearest(t string) string {
	if len(t) > 64 {
		return ""
	}
	word := strings.ToUpper(t)
	best, least := "", len(word)/3+1
	for _, c := range candidates(word) {
		d := 0
		// A name that only lacks its prefix (+TLS1.3 for +VERS-TLS1.3) is nearer than any typing
		// error.
		if len(word) <= 2 || !strings.HasSuffix(c, "-"+word[1:]) || c[0] != word[0] {
			if len(c) > len(word)+least || len(word) > len(c)+least {
				continue // as many letters are missing at least
			}
			d = distance(word, c)
		}
		if d < least || d == least && best != "" && c < best {
			best, least = c, d
		}
	}
	return best
}

// candidates are the known tokens that begin as word does; all of them if it begins like none.
func candidates(word string) []string {
	var out []string
	switch sign := word[:min(1, len(word))]; sign {
	case "+", "-", "!":
		for _, n := range elements() {
			out = append(out, sign+n)
		}
		if sign == "+" {
			for n := range levels {
				out = append(out, "+"+n)
			}
		}
	case "%":
		for n := range options {
			out = append(out, "%"+n)
		}
	default:
		for n := range levels {
			out = append(out, n)
		}
		out = append(out, "NONE")
		// A sign that was left out.
		for _, n := range elements() {
			out = append(out, "+"+n)
		}
		for n := range options {
			out = append(out, "%"+n)
		}
	}
	slices.Sort(out)
	return out
}

// elements are the names that can follow a sign.
func elements() []string {
	out := []string{"VERS-ALL", "VERS-TLS-ALL", "VERS-DTLS-ALL", "GROUP-ALL", "GROUP-EC-ALL", "GROUP-DH-ALL", "GROUP-GOST-ALL",
		"CURVE-ALL", "SIGN-ALL", "SIGN-GOST-ALL", "MAC-ALL", "MAC-GOST-ALL", "CIPHER-ALL", "CIPHER-GOST-ALL", "KX-ALL", "KX-GOST-ALL",
		"CTYPE-ALL", "CTYPE-X509", "CTYPE-RAWPK", "COMP-NULL", "COMP-ALL", "GOST"}
	for n := range macs {
		out = append(out, n)
	}
	for n := range ciphers {
		out = append(out, n)
	}
	for n := range kxs {
		out = append(out, n)
	}
	for n := range versions {
		out = append(out, "VERS-"+n)
	}
	for n := range groups {
		out = append(out, "GROUP-"+n)
	}
	for n := range curves {
		out = append(out, "CURVE-"+n)
	}
	for n := range signs {
		out = append(out, "SIGN-"+n)
	}
	return out
}

// distance is the number of letters to insert, delete, replace or swap with their neighbour to make
// a into b.
func distance(a, b string) int {
	var before, last, now []int
	for j := range len(b) + 1 {
		last = append(last, j)
	}
	for i := 1; i <= len(a); i++ {
		now = append(now[:0:0], i)
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			now = append(now, d)
		}
		before, last = last, now
	}
	return last[len(b)]
}
