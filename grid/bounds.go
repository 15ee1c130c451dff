package grid

import (
	"fmt"
	"strconv"
	"strings"
)

// Bounds is the bounded universe a rule may name behind a colon: a torus or a
// plane with its sides in cells. A side of 0 is unbounded.
type Bounds struct {
	Kind          byte // 'T' torus, 'P' plane, or 0 for none
	Width, Height int32
}

// String writes b as it stands behind a rule: ":T30,20", or nothing.
func (b Bounds) String() string {
	if b.Kind == 0 {
		return ""
	}
	return fmt.Sprintf(":%c%d,%d", b.Kind, b.Width, b.Height)
}

// ParseBoundedRule reads a rule with an optional universe behind it, such as
// "B3/S23:T64,64", "23/3:P100" or plain "B3/S23". Universes other than torus
// and plane are refused by name; the errors wrap [ErrRule].
func ParseBoundedRule(text string) (Rule, Bounds, error) {
	rule, universe, bounded := strings.Cut(text, ":")
	r, err := ParseRule(rule)
	if err != nil || !bounded {
		return r, Bounds{}, err
	}
	b, err := parseBounds(strings.TrimSpace(universe))
	return r, b, err
}

func parseBounds(s string) (Bounds, error) {
	if s == "" {
		return Bounds{}, fmt.Errorf("%w: nothing stands behind the colon; write :T64,64 for a torus or :P64,64 for a plane", ErrRule)
	}
	kind := s[0] &^ 0x20
	if name, ok := foreignUniverses[kind]; ok {
		return Bounds{}, fmt.Errorf("%w: universe %q is a %s; use a torus (:T64,64) or a plane (:P64,64)", ErrRule, clip(s), name)
	}
	if kind != 'T' && kind != 'P' {
		return Bounds{}, fmt.Errorf("%w: universe %q is not known; use a torus (:T64,64) or a plane (:P64,64)", ErrRule, clip(s))
	}
	if strings.ContainsAny(s, "+*") || (strings.Contains(s[1:], "-")) {
		return Bounds{}, fmt.Errorf("%w: universe %q has a shift or a twist; use a plain torus (:T64,64) or plane (:P64,64)", ErrRule, clip(s))
	}
	width, height, two := strings.Cut(s[1:], ",")
	w, err := parseSide(width)
	if err != nil {
		return Bounds{}, err
	}
	h := w
	if two {
		if h, err = parseSide(height); err != nil {
			return Bounds{}, err
		}
	}
	return Bounds{Kind: kind, Width: w, Height: h}, nil
}

// foreignUniverses are the kinds other programs know and this one does not.
var foreignUniverses = map[byte]string{'K': "Klein bottle", 'C': "cross-surface", 'S': "sphere"}

func parseSide(s string) (int32, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%w: universe side %q is not a whole number of cells", ErrRule, clip(s))
	}
	return int32(n), nil
}
