package grid

import (
	"slices"
	"testing"
)

// fuzzLimits are small, so that the bounds are reached.
var fuzzLimits = PatternLimits{Bytes: 1 << 16, Cells: 5000, Side: 3000, Comments: 10}

// fuzzParser checks on any input: no panic, a result within the limits and in
// order, an error with a place in the text, and a pattern that is the same
// after it is written and read again.
func fuzzParser(f *testing.F, parse func([]byte, PatternLimits) (*Pattern, error), seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		Detect(b)
		p, err := parse(b, fuzzLimits)
		if err != nil {
			place, ok := err.(*PatternError)
			if !ok || place.Line < 0 || place.Column < 1 || place.Column > len(b)+1 || len(place.Text) > 400 {
				t.Fatalf("error without a good place: %v", err)
			}
			return
		}
		checkPattern(t, p)
		again, err := ParseRLE(AppendRLE(nil, p), PatternLimits{})
		if err != nil || !slices.Equal(again.Cells, p.Cells) {
			t.Fatalf("written and read again: %v, %d cells of %d", err, len(again.Cells), len(p.Cells))
		}
	})
}

func checkPattern(t *testing.T, p *Pattern) {
	t.Helper()
	if len(p.Cells) > fuzzLimits.Cells || p.Width > fuzzLimits.Side || p.Height > fuzzLimits.Side || len(p.Comments) > fuzzLimits.Comments {
		t.Fatalf("beyond the limits: %d cells in %dx%d", len(p.Cells), p.Width, p.Height)
	}
	for i, c := range p.Cells {
		if c.State == 0 || c.X < 0 || c.Y < 0 || c.X >= p.Width || c.Y >= p.Height {
			t.Fatalf("cell %v is outside %dx%d or dead", c, p.Width, p.Height)
		}
		if i > 0 && compareCells(p.Cells[i-1], c) >= 0 {
			t.Fatalf("cells %v and %v are out of order", p.Cells[i-1], c)
		}
	}
}

func FuzzParseRLE(f *testing.F) {
	fuzzParser(f, ParseRLE, "x = 3, y = 3, rule = B3/S23:T9,9\nbo$2bo$3o!", "#CXRLE Pos=1,2 Gen=3\n.A2.B$pAyO!", "99999999999o", "0o9$")
}

func FuzzParseCells(f *testing.F) { fuzzParser(f, ParseCells, "!Name: x\n.O.\n\n..O", "*\r\r\n.") }

func FuzzParseLife105(f *testing.F) {
	fuzzParser(f, ParseLife105, "#Life 1.05\n#D x\n#R 23/3\n#P -1 -1\n.*\n*", "#P 9999999999 0\n*")
}

func FuzzParseLife106(f *testing.F) { fuzzParser(f, ParseLife106, "#Life 1.06\n0 -1\n1 0\n-3000 9") }

func FuzzParseMacrocell(f *testing.F) {
	fuzzParser(f, ParseMacrocell, "[M2]\n#R B3/S23\n#G 1\n.*$..*$***$\n4 0 1 0 0\n5 2 2 0 2", "[M2]\n1 0 1 2 3\n2 1 0 0 1")
}

func FuzzParse(f *testing.F) {
	fuzzParser(f, Parse, "o!", ".O", "#Life 1.05\n*", "#Life 1.06\n1 1", "[M2]\n*$", "!x", "#P 1 1\n*")
}

func FuzzParseRule(f *testing.F) {
	for _, s := range []string{"B3/S23", "23/3", "S23/B36:T30,20", "B2-a/S12", "23/3/4", "R5,C0", "life"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rule, bounds, err := ParseBoundedRule(text)
		if err != nil {
			return
		}
		again, same, err := ParseBoundedRule(rule.String() + bounds.String())
		if err != nil || again != rule || same != bounds || rule.Birth&^0x1fe != 0 || rule.Survive&^0x1ff != 0 {
			t.Fatalf("%q: %v%v reads as %v%v, %v", text, rule, bounds, again, same, err)
		}
	})
}
