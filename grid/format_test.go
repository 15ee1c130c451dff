package grid

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var glider = []Cell{{1, 0, 1}, {2, 1, 1}, {0, 2, 1}, {1, 2, 1}, {2, 2, 1}}

// Goal: every format is recognised and read, with each line end. Method: the
// same glider in many spellings.
func TestParseGlider(t *testing.T) {
	for _, c := range []struct {
		text   string
		format Format
	}{
		{"x = 3, y = 3, rule = B3/S23\nbo$2bo$3o!\n", FormatRLE},
		{"#N Glider\n#C easy\nx=3,y=3\nbo$2bo$3o!", FormatRLE},
		{"bo$2bo$3o!", FormatRLE},
		{"X = 3, Y = 3, rule = b3/s23:T64,64\n.A$2.A$\n3A\n!text behind the end is ignored", FormatRLE},
		{"x = 0, y = 0\nb o $ 2b\n1o$3 o!", FormatRLE},
		{"#P 5 5\nx = 3, y = 3\nbob$2bo$3o", FormatRLE},
		{"!Name: Glider\n!\n.O.\n..O\nOOO\n", FormatCells},
		{".O\n..O\nOOO", FormatCells},
		{".*. \n..*\n***\n\n\n", FormatCells},
		{"#Life 1.05\n#D easy\n#N\n#P -1 -1\n.*.\n..*\n***\n", FormatLife105},
		{"#P 0 0\n.*\n#P 0 1\n..*\n***", FormatLife105},
		{"#Life 1.06\n0 -1\n1 0\n-1 1\n0 1\n1 1\n0 1\n", FormatLife106},
		{"7 0\n8 1\n6 2\n7 2\n8 2\n", FormatLife106},
		{"[M2] (any)\n#R B3/S23\n#G 12\n.*$..*$***$$$$$$\n", FormatMacrocell},
		{"[M2]\n$$$$$$.......*$$\n***$*$.*$$$$$$\n$.......*$\n4 1 0 3 2\n", FormatMacrocell},
		{"[M2]\n1 0 1 0 0\n1 0 0 1 0\n1 1 1 0 0\n1 1 0 0 0\n2 1 2 3 4\n", FormatMacrocell},
	} {
		for _, end := range []string{"\n", "\r\n", "\r"} {
			text := strings.ReplaceAll(c.text, "\n", end)
			if got := Detect([]byte(text)); got != c.format {
				t.Errorf("%q is taken for %v, want %v", text, got, c.format)
				continue
			}
			p, err := Parse([]byte(text), PatternLimits{})
			if err != nil {
				t.Errorf("%q: %v", text, err)
				continue
			}
			if c.format == FormatMacrocell && strings.Contains(text, "4 1 0 3 2") {
				continue // the glider crosses quarters; checked below
			}
			if !slices.Equal(p.Cells, glider) || p.Width != 3 || p.Height != 3 {
				t.Errorf("%q gives %v in %dx%d", text, p.Cells, p.Width, p.Height)
			}
		}
	}
}

// Goal: what a file says about its pattern is kept.
func TestParseNotes(t *testing.T) {
	text := "#N  Name \n#O Someone\n#C one\n#c two\x01\n#CXRLE Pos=-3,4 Gen=123 Other=x\n#r 23/36\nx = 9, y = 8\no!"
	got := mustRLE(t, text)
	want := &Pattern{Name: "Name", Author: "Someone", Comments: []string{"one", "two"}, Rule: Rule{1<<3 | 1<<6, 1<<2 | 1<<3},
		Width: 9, Height: 8, Generation: 123, OriginX: -3, OriginY: 4, Cells: []Cell{{0, 0, 1}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	life, err := Parse([]byte("#Life 1.05\n#D text\n#R 125/36\n#P 10 -20\n..*\n"), PatternLimits{})
	if err != nil || life.Rule.String() != "B36/S125" || life.OriginX != 12 || life.OriginY != -20 || life.Comments[0] != "text" {
		t.Errorf("Life 1.05: %+v, %v", life, err)
	}
	mc, err := Parse([]byte("[M2]\n#R B36/S23\n#G 77\n.......*$\n4 1 0 0 0\n5 0 0 0 2\n"), PatternLimits{})
	if err != nil || mc.Generation != 77 || mc.OriginX != 7 || mc.OriginY != 0 || mc.Rule.String() != "B36/S23" {
		t.Errorf("macrocell: %+v, %v", mc, err)
	}
	wrong := mustRLE(t, "x = 1, y = 1\n3o$5b2o!")
	if wrong.Width != 7 || wrong.Height != 2 {
		t.Errorf("a header that is too small gives a box of %dx%d, want 7x2", wrong.Width, wrong.Height)
	}
}

// Goal: errors name line and column and say what to do.
func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"x = 3, y = 3\nbo$2bz!", "line 2, column 6: 'z' is not part of run length encoding"},
		{"x = 3, y = q\no!", `line 1, column 12: the header's y is "q"`},
		{"#C a\nx = 3, y\no!", "line 2, column 8: the header has no \"=\""},
		{"x = 3, y = 3, rule = 23/3/4\no!", "line 1, column 22: unsupported rule: \"23/3/4\" is a Generations rule"},
		{"3o$2", "line 1, column 1: the file ends inside a run"},
		{"pb!", "line 1, column 2: 'p' must be followed by a letter from A to X, not by 'b'"},
		{"yX!", "line 1, column 2: state 264 is beyond 255"},
		{"99999999999o!", "line 1, column 11: a repeat count has more than 10 digits"},
		{"!Name: x\n.O\n.Q.\n", "line 3, column 2: 'Q' is neither"},
		{"#Life 1.05\n#P 1\n*", "line 2, column 4: two whole numbers belong here"},
		{"#Life 1.05\n#P 1 b\n*", `line 2, column 6: "b" is not a whole number`},
		{"#Life 1.06\n1 2 3\n", "line 2, column 1: two whole numbers"},
		{"#Life 1.06\n1 99999999999999\n", "line 2, column 3: 99999999999999 is further than"},
		{"[M2]\n.*x\n", "line 2, column 3: 'x' is not part of a leaf"},
		{"[M2]\n.........\n", "line 2, column 9: a leaf has 8 rows of 8 cells"},
		{"[M2]\n4 1 0 0\n", "line 2, column 1: a node is five whole numbers"},
		{"[M2]\n4 7 0 0 0\n", "line 2, column 3: node 7 is not there yet"},
		{"[M2]\n*$\n5 1 0 0 0\n", "line 3, column 3: node 1 has level 3, and a quarter of this one has level 4"},
		{"[M2]\n99 0 0 0 0\n", "line 2, column 1: a node of level 99"},
		{"[M2]\n1 256 0 0 0\n", "line 2, column 3: state 256"},
		{"[M2]\n#G x\n", "line 2, column 4: the generation"},
	} {
		_, err := Parse([]byte(c.text), PatternLimits{})
		var place *PatternError
		if !errors.As(err, &place) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q: error %q, want %q", c.text, err, c.want)
		}
	}
}

// Goal: each limit holds at N and bites at N+1, in every format, before the
// memory is taken.
func TestPatternLimits(t *testing.T) {
	limits := PatternLimits{Bytes: 100, Cells: 10, Side: 20, Comments: 2}
	for _, c := range []struct{ name, good, bad string }{
		{"bytes", "o" + strings.Repeat(" ", 99), "o" + strings.Repeat(" ", 100)},
		{"cells rle", "10o!", "11o!"},
		{"cells rle huge", "10o!", "4000000000o!"},
		{"side x rle", "19bo!", "20bo!"},
		{"side y rle", "19$o!", "20$o!"},
		{"cells cells", strings.Repeat("O", 10), strings.Repeat("O", 11)},
		{"side x cells", "." + strings.Repeat(".", 19), "." + strings.Repeat(".", 20)},
		{"side y cells", "." + strings.Repeat("\n", 19) + "O", "." + strings.Repeat("\n", 20) + "O"},
		{"side life105", "#Life 1.05\n*\n#P 0 19\n*", "#Life 1.05\n*\n#P 0 20\n*"},
		{"side life106", "#Life 1.06\n-10 0\n9 0", "#Life 1.06\n-10 0\n10 0"},
		{"cells life106", "#Life 1.06\n" + strings.Repeat("1 1\n", 10), "#Life 1.06\n" + strings.Repeat("1 1\n", 11)},
		{"cells macrocell", "[M2]\n********$**\n", "[M2]\n********$***\n"},
		{"side macrocell", "[M2]\n*\n4 1 1 0 0\n5 2 0 0 0\n", "[M2]\n*\n4 1 0 0 0\n5 2 0 0 0\n6 3 3 0 0\n"},
	} {
		if _, err := Parse([]byte(c.good), limits); err != nil {
			t.Errorf("%s at its limit: %v", c.name, err)
		}
		if _, err := Parse([]byte(c.bad), limits); !errors.Is(err, ErrPatternTooLarge) {
			t.Errorf("%s beyond its limit: error %v, want ErrPatternTooLarge", c.name, err)
		}
	}
	p, err := ParseRLE([]byte("#C a\n#C b\n#C c\no!"), limits)
	if err != nil || len(p.Comments) != 2 {
		t.Errorf("3 comments with a limit of 2: %d kept, %v", len(p.Comments), err)
	}
	if _, err := Parse([]byte(deepTree(60)), PatternLimits{}); !errors.Is(err, ErrPatternTooLarge) {
		t.Errorf("a tree of 2^100 cells: error %v", err)
	}
	bytes := testing.AllocsPerRun(3, func() { Parse([]byte("4000000000o!"), PatternLimits{}) })
	if bytes > 20 {
		t.Errorf("refusing a huge run takes %v allocations", bytes)
	}
}

// Goal: what is written reads as the same pattern. Method: random patterns of
// many shapes through every format that is written.
func TestAppendRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for i := range 300 {
		p := anyPattern(rng, i%3 == 0)
		for _, f := range []Format{FormatRLE, FormatCells, FormatLife105, FormatLife106} {
			text, err := Append(nil, p, f)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Parse(text, PatternLimits{})
			if err != nil {
				t.Fatalf("seed 7, round %d, %v: %v\n%s", i, f, err, text)
			}
			comparePatterns(t, p, got, f)
			if f == FormatRLE {
				checkLineLength(t, text, rleLineLimit)
			}
			if f == FormatLife105 {
				checkLineLength(t, text, lifeBlock)
			}
		}
	}
}

func anyPattern(rng *rand.Rand, states bool) *Pattern {
	p := &Pattern{Name: "Some name", Author: "Someone", Comments: []string{"a comment"}, Rule: Life,
		Generation: uint64(rng.IntN(3)), OriginX: int32(rng.IntN(200) - 100), OriginY: int32(rng.IntN(200) - 100)}
	w, h := 1+rng.IntN(300), 1+rng.IntN(100)
	for range rng.IntN(400) {
		c := Cell{X: int32(rng.IntN(w)), Y: int32(rng.IntN(h)), State: 1}
		if states {
			c.State = uint8(1 + rng.IntN(255))
		}
		p.Cells = append(p.Cells, c)
	}
	p.Crop()
	return p
}

// comparePatterns compares what format f can hold.
func comparePatterns(t *testing.T, want, got *Pattern, f Format) {
	t.Helper()
	want = want.Clone()
	if f != FormatRLE {
		for i := range want.Cells {
			want.Cells[i].State = 1
		}
		want.Generation = 0
	}
	if f == FormatCells || len(want.Cells) == 0 && f != FormatRLE {
		want.OriginX, want.OriginY = 0, 0
	}
	if f == FormatLife106 {
		want.Rule = Rule{}
	}
	if f == FormatCells {
		want.Rule = Rule{}
	}
	if f == FormatLife105 || f == FormatLife106 {
		want.Name, want.Author, want.Comments, got.Comments = "", "", nil, nil
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%v: %s", f, diff)
	}
}

func checkLineLength(t *testing.T, text []byte, limit int) {
	t.Helper()
	for line := range strings.Lines(string(text)) {
		if len(strings.TrimSuffix(line, "\n")) > limit {
			t.Fatalf("a line of %d characters: %s", len(line), line)
		}
	}
}

// Goal: long comments are folded, text cannot smuggle lines, and plaintext of
// a wide sparse pattern is refused instead of filling the memory.
func TestAppendLimits(t *testing.T) {
	p := mustRLE(t, "o!")
	p.Comments = []string{strings.Repeat("word ", 40), strings.Repeat("ä", 100), "x\n9o!"}
	text := AppendRLE(nil, p)
	checkLineLength(t, text, rleLineLimit)
	got := mustRLE(t, string(text))
	if strings.Join(got.Comments[:4], " ")+" " != strings.Repeat("word ", 40) {
		t.Errorf("folded to %q", got.Comments)
	}
	if len(got.Cells) != 1 {
		t.Errorf("a comment with a line end became cells: %v", got.Cells)
	}
	wide := &Pattern{}
	for y := range int32(2000) {
		wide.Cells = append(wide.Cells, Cell{X: 65535, Y: y, State: 1})
	}
	wide.Normalise()
	if _, err := AppendCells(nil, wide); !errors.Is(err, ErrPatternTooLarge) {
		t.Errorf("131 MB of plaintext: error %v", err)
	}
	if size := len(AppendLife105(nil, wide)); size > 20000 {
		t.Errorf("Life 1.05 of 2,000 cells in a column takes %d bytes", size)
	}
	if _, err := Append(nil, wide, FormatMacrocell); err == nil {
		t.Error("macrocell is written")
	}
	if got := string(AppendRunLine(nil, mustRLE(t, strings.Repeat("bo", 100)+"!"))); strings.Contains(got, "\n") || len(got) != 201 {
		t.Errorf("AppendRunLine gives %q", got)
	}
}

// Goal: hostile files take no more memory than the docs say. Method: the worst
// input of each kind, and what the runtime counts as allocated; growing a list
// costs a few times what it ends with.
func TestParseMemory(t *testing.T) {
	limits := PatternLimits{Bytes: 4 << 20, Cells: 1 << 18, Side: 1 << 16}
	const cells, nodes, input = 12 << 18, 40 << 20, 4 << 20
	for _, c := range []struct {
		name, text string
		most       uint64
	}{
		{"a huge run", "9999999999o!", 1 << 16},
		{"runs beyond the cells", strings.Repeat("60000o$", 100), 6 * cells},
		{"cells one by one", "x = 1, y = 1\n" + strings.Repeat("o$", 1<<17), 6 * cells},
		{"empty rows", strings.Repeat("9999999$", 1000), 1 << 16},
		{"comments", strings.Repeat("#C\n", 1<<20), 4 * input},
		{"a long comment", "#C " + strings.Repeat("x", 3<<20) + "\no!", 6 * input},
		{"plaintext", strings.Repeat(strings.Repeat("O", 1<<10)+"\n", 1<<10), 6 * cells},
		{"far points", "#Life 1.06\n" + strings.Repeat("0 0\n99999 99999\n", 1000), 1 << 16},
		{"nodes", "[M2]\n" + strings.Repeat("$\n", 2<<20), 4 * nodes},
		{"a deep tree", deepTree(60), 1 << 17},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		Parse([]byte(c.text), limits)
		runtime.ReadMemStats(&after)
		const others = 1 << 17 // what the runtime and its race detector allocate meanwhile
		if got := after.TotalAlloc - before.TotalAlloc - uint64(len(c.text)); got > c.most+others && got < 1<<62 {
			t.Errorf("%s: %d bytes for %d of input, at most %d are allowed", c.name, got, len(c.text), c.most)
		}
	}
}

// deepTree is a macrocell file whose root repeats one full leaf everywhere.
func deepTree(levels int) string {
	text := "[M2]\n********$********$********$\n"
	for level := 4; level <= levels; level++ {
		text += fmt.Sprintf("%d %d %d %d %d\n", level, level-3, level-3, level-3, level-3)
	}
	return text
}
