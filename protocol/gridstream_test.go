package protocol

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

var gridStreamRows = []struct {
	kind  string
	line  string
	want  any
	twice string // what it is written as, when not the same
}{
	{"watch", "3k9/0", Watch{GridName: GridName{"3k9", 0}}, "3k9/0 cells"},
	{"watch", "3k9/7 cells", Watch{GridName: GridName{"3k9", 7}}, ""},
	{"watch", "3k9/65535 edits", Watch{GridName: GridName{"3k9", MaxGrid}, Mode: WatchEdits}, ""},
	{"watch", "3k9/1 view 0,64,128,192", Watch{GridName{"3k9", 1}, WatchView, GridRect{0, 64, 128, 192}}, ""},
	{"edit", "3k9/0 3,4 bo$2bo$3o!", GridEdit{GridName{"3k9", 0}, 3, 4, false, []byte("bo$2bo$3o!")}, ""},
	{"edit", "3k9/0 -3,-4 !o!", GridEdit{GridName{"3k9", 0}, -3, -4, true, []byte("o!")}, ""},
	{"edited", "3k9/0 17 1024", GridEdited{GridName: GridName{"3k9", 0}, Seq: 17, Generation: 1024}, ""},
	{"edited", "3k9/0 0 1024 cell (3, 4): a live cell is in the way",
		GridEdited{GridName{"3k9", 0}, 0, 1024, "cell (3, 4): a live cell is in the way"}, ""},
	{"grid", "3k9/0 1024 321x321 00000000deadbeef bo$2bo$3o!", GridLine{GridName{"3k9", 0}, 1024, 321, 321, 0xdeadbeef, []byte("bo$2bo$3o!")}, ""},
	{"delta", "3k9/0 1025 0123456789abcdef !", GridLine{GridName: GridName{"3k9", 0}, Generation: 1025, Hash: 0x0123456789abcdef, Runs: []byte("!")}, ""},
}

// gridStreamRound parses a payload and writes it again.
func gridStreamRound(kind string, b []byte) (v any, again []byte, err error) {
	switch kind {
	case "watch":
		w, err := ParseWatch(b)
		return w, AppendWatch(nil, w), err
	case "edit":
		e, err := ParseGridEdit(b)
		return e, AppendGridEdit(nil, e), err
	case "edited":
		e, err := ParseGridEdited(b)
		return e, AppendGridEdited(nil, e), err
	}
	l, err := ParseGridLine(b, kind == "grid")
	return l, AppendGridLine(nil, l), err
}

// Goal: the payloads of the grid stream on lines have one meaning each. Method: a table, read and written.
func TestGridStream(t *testing.T) {
	for _, row := range gridStreamRows {
		v, again, err := gridStreamRound(row.kind, []byte(row.line))
		if err != nil || !reflect.DeepEqual(v, row.want) {
			t.Errorf("%s %q is %+v, %v", row.kind, row.line, v, err)
		}
		want := row.twice
		if want == "" {
			want = row.line
		}
		if string(again) != want {
			t.Errorf("%s %q written again is %q", row.kind, row.line, again)
		}
	}
}

// Goal: what is not such a payload is refused. Method: a table of one fault each.
func TestGridStreamRefused(t *testing.T) {
	for kind, lines := range map[string]string{
		"watch": "|/|a|a/|/0|a/-1|a/65536|a/00|a b/0|a*/0|a/0 |a/0 cell|a/0 cells 1|a/0 view|a/0 view 1,2,3|a/0 view 1,2,3,4,5|" +
			"a/0 view 1,2,3,2147483648|a/0 view -1,2,3,4|a/0 edits x|" + strings.Repeat("a", MaxName+1) + "/0",
		"edit":   "|a/0|a/0 1,2|a/0 1,2 |a/0 1,2 !|a/0 1 o!|a/0 ,2 o!|a/0 +1,2 o!|a/0 -0,2 o!|a/0 2147483648,2 o!|a/0 1,2,3 o!",
		"edited": "|a/0|a/0 1|a/0 1 x|a/0 x 1|a/0 01 1|a/0 1 1 reason|a/0 0 1 |a/0 18446744073709551616 1",
		"grid":   "|a/0 1 2x2 0123456789abcdef|a/0 1 2x2 0123456789abcdeF !|a/0 1 0x2 0123456789abcdef !|a/0 1 22 0123456789abcdef !|a/0 1 2x2 123 !|a/0 1 0123456789abcdef !",
		"delta":  "|a/0 1|a/0 1 0123456789abcde !|a/0 1 0123456789abcdef |a/0 -1 0123456789abcdef !",
	} {
		for _, line := range strings.Split(lines, "|") {
			if v, _, err := gridStreamRound(kind, []byte(line)); !errors.Is(err, ErrBadLine) {
				t.Errorf("%s %q is %+v, %v", kind, line, v, err)
			}
		}
	}
}

// Goal: parsers of the grid stream take any bytes and lose nothing. Method: whatever parses is the same when it is
// written and parsed again, and is a line.
func FuzzGridStream(f *testing.F) {
	for _, row := range gridStreamRows {
		f.Add(row.line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		for _, kind := range []string{"watch", "edit", "edited", "grid", "delta"} {
			v, again, err := gridStreamRound(kind, []byte(line))
			if err != nil || strings.ContainsAny(line, "\r\n") {
				continue
			}
			w, third, err := gridStreamRound(kind, again)
			if err != nil || string(third) != string(again) {
				t.Fatalf("%s %q: %q, then %q, %v", kind, line, again, third, err)
			}
			if e, ok := v.(GridEdited); !reflect.DeepEqual(v, w) && !(ok && e.Refused != "") {
				t.Fatalf("%s %q: %+v, then %+v", kind, line, v, w)
			}
			if strings.ContainsAny(string(again), "\r\n") {
				t.Fatalf("%s %q: %q is no line", kind, line, again)
			}
		}
	})
}
