package grid

import (
	"fmt"
	"testing"
)

// Goal: what is known about famous methuselahs comes out of the real engine:
// from which generation on nothing but still lifes, oscillators and escaping
// ships is left, and how many cells they have. Method: [Analyse], whose answer
// is a proof. The figures are those of the Life community.
func TestVerifyMethuselahs(t *testing.T) {
	for _, c := range []struct {
		name, rle     string
		settles, pops int64
	}{
		{"R-pentomino", "b2o$2o$bo!", 1103, 116},
		{"acorn", "bo$3bo$2o2b3o!", 5206, 633},
		{"pi-heptomino", "3o$obo$obo!", 173, 55},
		{"B-heptomino", "ob2o$3o$bo!", 148, 28},
		{"Herschel", "o$obo$3o$2bo!", 128, 24},
		{"thunderbird", "3o2$bo$bo$bo!", 243, 46},
		{"century", "2b2o$3o$bo!", 103, 15},
		{"rabbits", "o3b3o$3o2bo$bo!", 17331, 1744},
		{"bunnies", "o5bo$2bo3bo$2bo2bobo$bobo!", 17332, 1744},
		{"blom", "o10bo$b4o6bo$2b2o7bo$10bo$8bobo!", 23314, 2740},
		{"lidka", "bo$obo$bo8$8bo$6bobo$5b2obo2$4b3o!", 29055, 1625},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := Analyse(mustRLE(t, c.rle), AnalyseOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if a.Fate != Settles || int64(a.Since) != c.settles || a.At() != c.pops {
				t.Errorf("%v at %d with %d cells, want %d with %d; ran %d", a.Fate, a.Since, a.At(), c.settles, c.pops, len(a.Population)-1)
			}
			t.Log(fmt.Sprint(a.Period, a.Side, a.Objects))
		})
	}
}
