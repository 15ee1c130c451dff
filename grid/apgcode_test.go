package grid

import (
	"errors"
	"strings"
	"testing"
)

// Goal: the codes are those that the censuses of the Life community use, and
// they read as the same pattern. Method: the catalogue's common objects.
func TestApgcode(t *testing.T) {
	for name, want := range map[string]string{
		"block": "xs4_33", "beehive": "xs6_696", "loaf": "xs7_2596", "boat": "xs5_253", "tub": "xs4_252", "ship": "xs6_356", "pond": "xs8_6996",
		"blinker": "xp2_7", "toad": "xp2_7e", "beacon": "xp2_318c", "glider": "xq4_153", "LWSS": "xq4_6frc", "MWSS": "xq4_27dee6",
		"HWSS": "xq4_27deee6", "pulsar": "xp3_co9nas0san9oczgoldlo0oldlogz1047210127401", "pentadecathlon": "xp15_4r4z4r4",
	} {
		f, ok := FindTemplate(name)
		if !ok {
			t.Errorf("%s is not in the catalogue", name)
			continue
		}
		m := newMotions(Life).of(f.Pattern.Cells)
		if got := m.apgcode(); got != want {
			t.Errorf("%s has the code %s, want %s", name, got, want)
		}
		p, err := ParseApgcode(want, PatternLimits{})
		if err != nil {
			t.Errorf("%s: %v", want, err)
			continue
		}
		if again := newMotions(Life).of(p.Cells).motion.apgcode(); again != want {
			t.Errorf("%s reads as %s", want, again)
		}
	}
}

// Goal: empty columns of every length, and mistakes with their place.
func TestParseApgcode(t *testing.T) {
	for n := range 100 {
		p := &Pattern{Cells: []Cell{{0, 0, 1}, {int32(n + 1), 0, 1}}}
		body := apgBody(p.Cells, n+2, 1)
		got, err := ParseApgcode("xs2_"+body, PatternLimits{})
		if err != nil || got.Width != int32(n+2) || len(got.Cells) != 2 {
			t.Errorf("%d empty columns: %q reads as %v, %v", n, body, got, err)
		}
	}
	for code, want := range map[string]string{
		"": "not an apgcode", "xs4": "not an apgcode", "ys4_33": "not an apgcode", "xs_33": "not an apgcode",
		"xs4_3?": "column 6: '?'", "xs4_3y": "column 6: behind y", "xs4_3yY": "column 6: behind y",
	} {
		_, err := ParseApgcode(code, PatternLimits{})
		var place *PatternError
		if !errors.As(err, &place) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", code, err, want)
		}
	}
	limits := PatternLimits{Side: 50, Cells: 10}
	for _, code := range []string{"xs4_1yzyz1", "xs4_vvv", "xs4_1" + strings.Repeat("z", 11) + "1"} {
		if _, err := ParseApgcode(code, limits); !errors.Is(err, ErrPatternTooLarge) {
			t.Errorf("%q: error %v, want ErrPatternTooLarge", code, err)
		}
	}
}

func FuzzParseApgcode(f *testing.F) {
	fuzzParser(f, func(b []byte, l PatternLimits) (*Pattern, error) { return ParseApgcode(string(b), l) }, "xs4_33", "xq4_153", "xp2_1yz1zzw7")
}
