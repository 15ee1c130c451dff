package config

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

// Goal: what a text of worlds means. Method: a table; each good text is written again and read again.
func TestParseWorlds(t *testing.T) {
	const top = math.MaxUint32
	for _, row := range []struct {
		text string
		want Worlds
		bad  bool
	}{
		{"1, 4-7", Worlds{{1, 1}, {4, 7}}, false},
		{"", nil, false},
		{" \t", nil, false},
		{"0", Worlds{{0, 0}}, false},
		{"7-7,1,2,3 , 5 - 6", Worlds{{1, 3}, {5, 7}}, false},
		{"1-9,3-4", Worlds{{1, 9}}, false},
		{"0-4294967295,4294967295", Worlds{{0, top}}, false},
		{"4294967295,1", Worlds{{1, 1}, {top, top}}, false},
		{"4294967296", nil, true},
		{"7-4", nil, true},
		{"1,", nil, true},
		{"-1", nil, true},
		{"1-", nil, true},
		{"1-2-3", nil, true},
		{"+1", nil, true},
		{"one", nil, true},
		{strings.Repeat("1,", maxRanges-1) + "1", Worlds{{1, 1}}, false},
		{strings.Repeat("1,", maxRanges) + "1", nil, true},
	} {
		got, err := ParseWorlds(row.text)
		if (err != nil) != row.bad || !reflect.DeepEqual(got, row.want) {
			t.Errorf("%.40q: %v %v, want %v", row.text, got, err, row.want)
		}
		if again, err := ParseWorlds(got.String()); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%.40q became %v", row.text, again)
		}
	}
}

// Goal: any text is read or refused, and a set and its text are the same. Method: fuzzing; Has is compared with the ranges.
func FuzzParseWorlds(f *testing.F) {
	for _, seed := range []string{"1, 4-7", "", "0-4294967295", "3,2,1", "1-", ","} {
		f.Add(seed, uint32(4))
	}
	f.Fuzz(func(t *testing.T, text string, world uint32) {
		worlds, err := ParseWorlds(text)
		if err != nil {
			return
		}
		in := false
		for i, r := range worlds {
			if r.First > r.Last || i > 0 && uint64(r.First) <= uint64(worlds[i-1].Last)+1 {
				t.Fatalf("%v is not in order", worlds)
			}
			in = in || r.First <= world && world <= r.Last
		}
		if worlds.Has(world) != in {
			t.Fatalf("%v has %d: %v", worlds, world, !in)
		}
		again, err := ParseWorlds(worlds.String())
		if err != nil || !reflect.DeepEqual(again, worlds) {
			t.Fatalf("%v became %v, %v", worlds, again, err)
		}
	})
}

// Goal: any file name and content is taken or refused without harm. Method: fuzzing of the two pure steps.
func FuzzFile(f *testing.F) {
	f.Add("family@2026-11-01.json", []byte(`{"a":1}`))
	f.Add("../x.json", []byte("\xef\xbb\xbf"))
	f.Fuzz(func(t *testing.T, file string, data []byte) {
		if name, day, ok := SplitName(file); ok {
			back := name + ".json"
			if day != "" {
				back = name + "@" + day + ".json"
			}
			if back != file || strings.ContainsAny(file, "/\\\x00") {
				t.Fatalf("%q is %q of day %q", file, name, day)
			}
		}
		_ = valid(data)
	})
}
