package grid

import (
	"slices"
	"strings"
	"testing"
)

// Goal: every number in the catalogue is true. Method: each pattern is run on
// the real engine; what it becomes, its period, displacement, growth and the
// generation from which they hold must be what the file says.
func TestCatalogueFacts(t *testing.T) {
	for _, group := range Catalogue() {
		for _, template := range group.Templates {
			t.Run(group.Name+"/"+template.Name, func(t *testing.T) {
				p := template.Pattern.Clone()
				p.Crop()
				if int(p.Width) != template.Width || int(p.Height) != template.Height || len(p.Cells) != template.Cells {
					t.Errorf("box %dx%d with %d cells, the file says %dx%d with %d", p.Width, p.Height, len(p.Cells), template.Width, template.Height, template.Cells)
				}
				a, err := Analyse(p, AnalyseOptions{Side: 1 << 14})
				if err != nil {
					t.Fatal(err)
				}
				checkFacts(t, template, a)
			})
		}
	}
}

func checkFacts(t *testing.T, f *Template, a *Analysis) {
	t.Helper()
	switch {
	case f.Growth != 0:
		checkGrowth(t, f, a)
	case f.Settles != 0:
		fate := Settles
		if f.Leaves == 0 {
			fate = Dies
		}
		if a.Fate != fate || a.Since != uint64(f.Settles) || a.At() != int64(f.Leaves) {
			t.Errorf("%v at %d with %d cells", a.Fate, a.Since, a.At())
		}
	default:
		if a.Fate != Settles || a.Since != 0 || a.Period != f.Period || a.DX != f.DX || a.DY != f.DY {
			t.Errorf("%v at %d, period %d, moves (%d,%d)", a.Fate, a.Since, a.Period, a.DX, a.DY)
		}
	}
}

func checkGrowth(t *testing.T, f *Template, a *Analysis) {
	t.Helper()
	if a.Fate != Grows || a.Since != uint64(f.Since) || f.Period%a.Period != 0 || int64(f.Growth) != a.Growth*int64(f.Period/a.Period) {
		t.Errorf("%v from %d by %d every %d", a.Fate, a.Since, a.Growth, a.Period)
	}
	if a.EnginePeriod != 0 && (a.EnginePeriod != f.Period || a.DX != f.DX || a.DY != f.DY) {
		t.Errorf("the engine has period %d and moves (%d,%d)", a.EnginePeriod, a.DX, a.DY)
	}
	if a.EnginePeriod == 0 && f.Name != "One-row infinite growth" { // two engines, which part
		t.Error("no engine found")
	}
}

// Goal: the catalogue is large enough, has no doubles, and holds the twelve
// classic templates in their three groups with the exact points, counted from
// the corner.
func TestCatalogueClassics(t *testing.T) {
	classics := map[string]string{
		"Still lifes/Block": "00 10 01 11", "Still lifes/Beehive": "10 20 01 31 12 22", "Still lifes/Loaf": "10 20 01 31 12 32 23",
		"Still lifes/Boat": "00 10 01 21 12", "Still lifes/Flower": "10 01 21 12",
		"Oscillators/Blinker": "10 11 12", "Oscillators/Toad": "10 20 30 01 11 21", "Oscillators/Beacon": "00 10 01 32 23 33",
		"Oscillators/Pentadecathlon": "10 11 02 22 13 14 15 16 07 27 18 19",
		"Oscillators/Pulsar": "40 41 4d 4e a0 a1 ad ae " + grid2("4 5 9 a", "2 6 8 c") + grid2("0 1 2 5 6 8 9 c d e", "4 a") +
			grid2("2 4 6 8 a c", "5 9"),
		"Spaceships/Glider": "10 21 02 12 22", "Spaceships/Lightweight spaceship": "00 30 41 02 42 13 23 33 43",
	}
	total, shapes := 0, map[string]string{}
	for _, group := range Catalogue() {
		total += len(group.Templates)
		for _, template := range group.Templates {
			name := group.Name + "/" + template.Name
			if other, ok := shapes[shapeKey(template.Pattern.Cells)]; ok {
				t.Errorf("%s and %s are the same cells", name, other)
			}
			shapes[shapeKey(template.Pattern.Cells)] = name
			points, classic := classics[name]
			if template.Classic != classic {
				t.Errorf("%s: classic is %v", name, template.Classic)
			}
			if classic {
				checkPoints(t, template, points)
				delete(classics, name)
			}
		}
	}
	if total < 60 || len(classics) > 0 {
		t.Errorf("%d templates; missing classics: %v", total, classics)
	}
	t.Logf("%d templates in %d groups", total, len(Catalogue()))
}

// grid2 lists the points of all columns in all rows.
func grid2(xs, ys string) string {
	var points strings.Builder
	for _, y := range strings.Fields(ys) {
		for _, x := range strings.Fields(xs) {
			points.WriteString(x + y + " ")
		}
	}
	return points.String()
}

// checkPoints compares with points of two hexadecimal digits each.
func checkPoints(t *testing.T, f *Template, points string) {
	t.Helper()
	var want []Cell
	for _, p := range strings.Fields(points) {
		want = append(want, Cell{X: hexDigit(p[0]), Y: hexDigit(p[1]), State: 1})
	}
	slices.SortFunc(want, compareCells)
	if !slices.Equal(want, f.Pattern.Cells) {
		t.Errorf("%s: points %v, want %v", f.Name, f.Pattern.Cells, want)
	}
}

func hexDigit(c byte) int32 { return int32(strings.IndexByte("0123456789abcdef", c)) }

// Goal: templates are found by either name, and their speed is written as
// people write it.
func TestFindTemplate(t *testing.T) {
	for name, speed := range map[string]string{
		"glider": "c/4 diagonal", "LWSS": "c/2 orthogonal", "Tub": "", "copperhead": "c/10 orthogonal", "weekender": "2c/7 orthogonal",
		"Sir Robin": "(2,1)c/6 oblique", "30P5H2V0": "2c/5 orthogonal", "two-engine cordership": "c/12 diagonal",
	} {
		f, ok := FindTemplate(name)
		if !ok || f.Speed() != speed {
			t.Errorf("FindTemplate(%q): %v, speed %q; want %q", name, ok, f.Speed(), speed)
		}
	}
	if _, ok := FindTemplate(""); ok {
		t.Error("the empty name is found")
	}
}
