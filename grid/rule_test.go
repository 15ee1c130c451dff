package grid

import (
	"errors"
	"strings"
	"testing"
)

// Goal: every notation people use for a Life-like rule gives the same rule.
// Method: a table, and String as the way back.
func TestParseRule(t *testing.T) {
	high := Rule{Birth: 1<<3 | 1<<6, Survive: 1<<2 | 1<<3}
	for text, want := range map[string]Rule{
		"B3/S23": Life, "b3/s23": Life, "B3S23": Life, "S23/B3": Life, "s23b3": Life, "23/3": Life, " B3/S23 ": Life,
		"B3/23": Life, "life": Life, "Conway's Life": Life, "B36/S23": high, "HighLife": high, "B63/S32": high,
		"B2/S": {Birth: 1 << 2}, "/2": {Birth: 1 << 2}, "B/S": {}, "B/S012345678": {Survive: 0x1ff},
		"B3678/S34678": {Birth: 0x1c8, Survive: 0x1d8},
	} {
		got, err := ParseRule(text)
		if err != nil || got != want {
			t.Errorf("ParseRule(%q) = %v, %v; want %v", text, got, err, want)
			continue
		}
		if again, err := ParseRule(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q, which reads as %v, %v", text, got, again, err)
		}
	}
}

// Goal: what is not Life-like is refused, and the message names its kind.
func TestParseRuleRefusals(t *testing.T) {
	for text, word := range map[string]string{
		"B03/S23": "B0", "": "empty", "B9/S23": "neighbour count", "B3/S2x": "neighbour count", "B3": "B3/S23", "B3/B3": "once each",
		"23/3/4": "Generations", "B2/S/C3": "Generations", "g3b2s": "Generations", "345/2/4": "Generations",
		"B2/S013V": "von Neumann", "B2/S34H": "hexagonal", "B3/S2-i34q": "Hensel", "B2-a/S12": "Hensel",
		"R5,C0,M1,S34..58,B34..45,NM": "Larger than Life", "MAPARYXfhZofugWaH7oaIDogA": "MAP", "W110": "Wolfram",
		"WireWorld": "not known", "LifeHistory": "not known", strings.Repeat("z", 4000): "not known",
	} {
		_, err := ParseRule(text)
		if !errors.Is(err, ErrRule) {
			t.Errorf("ParseRule(%.40q): error %v does not wrap ErrRule", text, err)
			continue
		}
		if !strings.Contains(err.Error(), word) || len(err.Error()) > 250 {
			t.Errorf("ParseRule(%.40q): %q should say %q, briefly", text, err, word)
		}
	}
}

// Goal: a universe behind a rule is read, and one of another kind is refused.
func TestParseBoundedRule(t *testing.T) {
	for text, want := range map[string]Bounds{
		"B3/S23":         {},
		"B3/S23:T30,20":  {Kind: 'T', Width: 30, Height: 20},
		"23/3:p64":       {Kind: 'P', Width: 64, Height: 64},
		"B3/S23: T0, 20": {Kind: 'T', Width: 0, Height: 20},
	} {
		rule, got, err := ParseBoundedRule(text)
		if err != nil || got != want || rule != Life {
			t.Errorf("ParseBoundedRule(%q) = %v, %v, %v; want %v", text, rule, got, err, want)
		}
	}
	for text, word := range map[string]string{
		"B3/S23:K30*,20": "Klein", "B3/S23:C30,20": "cross-surface", "B3/S23:S30": "sphere", "B3/S23:T30+5,20": "shift",
		"B3/S23:": "nothing", "B3/S23:X3": "not known", "B3/S23:Tabc": "whole number", "B3/S23:T3,99999999999": "whole number",
	} {
		if _, _, err := ParseBoundedRule(text); !errors.Is(err, ErrRule) || !strings.Contains(err.Error(), word) {
			t.Errorf("ParseBoundedRule(%q): error %v should say %q", text, err, word)
		}
	}
}
