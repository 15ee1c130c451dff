package grid

import (
	"slices"
	"testing"
)

// Goal: the eight orientations are what their names say and form the symmetry
// group of the square. Method: an asymmetric pattern drawn by hand, and the
// group laws on all pairs.
func TestOrientation(t *testing.T) {
	p := mustRLE(t, "3o$o!") // ooo / o..
	for o, want := range map[Orientation]string{
		Identity: "3o$o!", Rotate90: "2o$bo$bo!", Rotate180: "2bo$3o!", Rotate270: "o$o$2o!",
		FlipX: "3o$2bo!", FlipY: "o$3o!", Transpose: "2o$o$o!", AntiTranspose: "bo$bo$2o!",
	} {
		if got := string(AppendRuns(nil, o.Apply(p))); got != want {
			t.Errorf("%v gives %s, want %s", o, got, want)
		}
	}
	for _, a := range Orientations() {
		if got, err := ParseOrientation(a.String()); err != nil || got != a {
			t.Errorf("ParseOrientation(%v) = %v, %v", a, got, err)
		}
		for _, b := range Orientations() {
			twice, once := b.Apply(a.Apply(p)), a.Then(b).Apply(p)
			if !slices.Equal(twice.Cells, once.Cells) || twice.Width != once.Width {
				t.Errorf("%v then %v is not %v", a, b, a.Then(b))
			}
		}
	}
	if _, err := ParseOrientation("sideways"); err == nil {
		t.Error("an unknown orientation is taken")
	}
	if Orientation(8).Valid() || Orientation(8).Apply(p) != p {
		t.Error("an orientation beyond the eight must be invalid and change nothing")
	}
}

// mustRLE reads a pattern that the test itself wrote.
func mustRLE(t testing.TB, text string) *Pattern {
	t.Helper()
	p, err := ParseRLE([]byte(text), PatternLimits{})
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return p
}
