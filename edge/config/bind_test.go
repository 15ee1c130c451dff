package config

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
)

// figures is a bound value with everything a copy could share.
type figures struct {
	Limit int            `json:"limit"`
	Hours float64        `json:"hours"`
	Days  []int          `json:"days"`
	Kinds map[string]int `json:"kinds"`
	twice int
}

func fallback() figures {
	return figures{Limit: 50, Hours: 1.5, Days: []int{1, 2, 3}, Kinds: map[string]int{"a": 1}}
}

func checkFigures(f *figures) error {
	if f.Limit < 0 {
		return errors.New("limit must not be negative")
	}
	f.twice = 2 * f.Limit
	return nil
}

// Goal: a value is the fallback, changed by what a good file names, and nothing writes to the fallback. Method: good, refused
// and missing content after each other.
func TestBind(t *testing.T) {
	r := newRig(t, nil)
	own := fallback()
	v := Bind(r.Folder, "family", own, checkFigures)
	for _, row := range []struct {
		data   string
		want   figures
		broken bool
	}{
		{`{"limit":60}`, figures{60, 1.5, []int{1, 2, 3}, map[string]int{"a": 1}, 120}, false},
		{`{"limit":-1}`, figures{60, 1.5, []int{1, 2, 3}, map[string]int{"a": 1}, 120}, true},
		{`{"limit":"60"}`, figures{60, 1.5, []int{1, 2, 3}, map[string]int{"a": 1}, 120}, true},
		{`{"days":[9],"kinds":{"b":2},"other":true}`, figures{50, 1.5, []int{9}, map[string]int{"a": 1, "b": 2}, 100}, false},
		{`{}`, figures{50, 1.5, []int{1, 2, 3}, map[string]int{"a": 1}, 100}, false},
	} {
		r.write("family.json", row.data)
		r.look(false)
		got := v.Get()
		if got.Limit != row.want.Limit || got.Hours != row.want.Hours || !slices.Equal(got.Days, row.want.Days) ||
			!maps.Equal(got.Kinds, row.want.Kinds) || got.twice != row.want.twice {
			t.Errorf("%s: %+v, want %+v", row.data, got, row.want)
		}
		if f, _ := r.Get("family"); (f.Broken != nil) != row.broken {
			t.Errorf("%s: %v", row.data, f.Broken)
		}
	}
	if !slices.Equal(own.Days, []int{1, 2, 3}) || !maps.Equal(own.Kinds, map[string]int{"a": 1}) {
		t.Errorf("the fallback is %+v now", own)
	}
}

// Goal: a fallback that is no struct is replaced whole, and comes back with the file gone. Method: a map.
func TestBindMap(t *testing.T) {
	r := newRig(t, map[string]string{"kinds@2026-11-22.json": `{"new":2}`})
	v := Bind(r.Folder, "kinds", map[string]int{"old": 1}, nil)
	if !maps.Equal(v.Get(), map[string]int{"old": 1}) {
		t.Error(v.Get())
	}
	r.advance(24 * 3600e9)
	if !maps.Equal(v.Get(), map[string]int{"new": 2}) {
		t.Error(v.Get())
	}
	r.advance(-24 * 3600e9)
	if !maps.Equal(v.Get(), map[string]int{"old": 1}) {
		t.Error(v.Get())
	}
}

// Goal: content that was read before there was a value for it is checked when there is one. Method: bad content, then Bind; two
// values of one name, of which one refuses.
func TestBindLate(t *testing.T) {
	r := newRig(t, map[string]string{"family.json": `{"limit":-1}`})
	r.has("family", `{"limit":-1}`)
	v := Bind(r.Folder, "family", fallback(), checkFigures)
	r.has("family", "")
	if v.Get().Limit != 50 || v.Get().twice != 100 || r.troubles() != 1 || r.log.count("no good content") != 1 {
		t.Error(v.Get(), r.log.b.String())
	}
	r.Reread()
	if r.troubles() != 1 || r.log.count("no good content") != 1 {
		t.Error(r.log.b.String())
	}
	two := Bind(r.Folder, "family", figures{Limit: 7}, nil)
	r.write("family.json", `{"limit":-2}`)
	r.look(false)
	if v.Get().Limit != 50 || two.Get().Limit != 7 {
		t.Error("what one value refuses, another has taken")
	}
	r.write("family.json", `{"limit":8}`)
	r.look(false)
	if v.Get().Limit != 8 || two.Get().Limit != 8 {
		t.Error(v.Get(), two.Get())
	}
	if b := r.Bindings(); len(b) != 4 || b[0].Name != "family" || string(b[1].Fallback) != `{"limit":7,"hours":0,"days":null,"kinds":null}` {
		t.Errorf("%+v", b)
	}
}

// Goal: without a folder there is the fallback, checked; a fallback that is refused is a mistake of the program. Method: calls.
func TestBindNothing(t *testing.T) {
	if v := Bind(nil, "family", fallback(), checkFigures); v.Get().twice != 100 {
		t.Error(v.Get())
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	Bind(nil, "family", figures{Limit: -1}, checkFigures)
}

// Goal: values are read while they change. Method: readers on many goroutines under the race detector; each value is whole.
func TestBindConcurrently(t *testing.T) {
	r := newRig(t, nil)
	v := Bind(r.Folder, "family", fallback(), checkFigures)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if f := v.Get(); f.twice != 2*f.Limit || len(r.Names()) > 1 {
						t.Error(f)
						return
					}
				}
			}
		})
	}
	for range 50 {
		r.write("family.json", `{"limit":1}`)
		r.look(false)
		r.write("family.json", `{"limit":22}`)
		r.Reread()
	}
	close(stop)
	readers.Wait()
}
