package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
)

// The page is these files as they are: there is no build step, and nothing is loaded from elsewhere.
//
//go:embed assets
var files embed.FS

// build tells one state of the page from another.
var build = sum()

func sum() string {
	h := sha256.New()
	all, err := fs.ReadDir(files, "assets") // in the order of their names
	for _, f := range all {
		var data []byte
		if err == nil {
			data, err = files.ReadFile(path.Join("assets", f.Name()))
		}
		fmt.Fprintln(h, f.Name(), len(data))
		h.Write(data)
	}
	if err != nil {
		panic("internal: the page's files: " + err.Error()) // they are in the program
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

func serveIndex(w http.ResponseWriter, r *http.Request) { serveFile(w, r, "index.html") }

func serveAsset(w http.ResponseWriter, r *http.Request) { serveFile(w, r, r.PathValue("name")) }

// serveFile serves one of the page's files. A browser keeps them, and asks whether they are the same.
func serveFile(w http.ResponseWriter, r *http.Request, name string) {
	data, err := files.ReadFile("assets/" + name)
	if err != nil {
		refuse(w, http.StatusNotFound, "the page has no such file")
		return
	}
	if name == "index.html" {
		data = bytes.ReplaceAll(data, []byte("BUILD"), []byte(build))
	}
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Type", types[path.Ext(name)])
	tag := `"` + build + `"`
	h.Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Write(data)
}
