package chain

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

// Goal: the page tells what the program does. Method: its message is read, with its hash; every option, state and type of the
// code is in a table of the page.
func TestPage(t *testing.T) {
	text, err := os.ReadFile("CHAINS.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	_, message, _ := strings.Cut(page, "work.json <<'END'\n")
	message, _, _ = strings.Cut(message, "END\n")
	w, err := ParseWork([]byte(message), Limits{})
	if err != nil || len(w.Items) != 2 || !strings.Contains(page, "gosper chain watch "+w.Hash) {
		t.Error(err, w)
	}
	var names []string
	for _, options := range []any{jsonItemOptions{}, jsonOptions{}} {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(options)) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	for _, s := range States() {
		names = append(names, string(s))
	}
	for _, name := range names {
		if !strings.Contains(page, "\n| `"+name+"` |") {
			t.Errorf("%s has no row", name)
		}
	}
	for _, kind := range []string{TypeHTTPS, TypeHTTP, TypeAMQP} {
		if !strings.Contains(page, "`"+kind+"`") {
			t.Errorf("%s is missing", kind)
		}
	}
	o := EngineOptions{}
	o.complete()
	for _, ms := range []int64{o.Backoff.Milliseconds(), o.MaxBackoff.Milliseconds()} {
		if b, _ := json.Marshal(ms); !strings.Contains(page, " | "+string(b)+" |") {
			t.Errorf("default of %d ms is not told", ms)
		}
	}
}
