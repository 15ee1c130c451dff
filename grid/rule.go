package grid

import (
	"errors"
	"fmt"
	"strings"
)

// Rule is an outer-totalistic rule of two states: a dead cell with n live
// neighbours is born when bit n of Birth is set, a live one stays when bit n of
// Survive is set. n is 0 to 8, so bits 9 and above are always clear. The zero
// value kills everything; [New] takes it for [Life].
type Rule struct{ Birth, Survive uint16 }

// Life is Conway's rule, B3/S23.
var Life = Rule{Birth: 1 << 3, Survive: 1<<2 | 1<<3}

// ErrRule is what every error of [ParseRule] wraps.
var ErrRule = errors.New("unsupported rule")

// String writes r as "B3/S23".
func (r Rule) String() string {
	var b strings.Builder
	b.WriteByte('B')
	writeDigits(&b, r.Birth)
	b.WriteString("/S")
	writeDigits(&b, r.Survive)
	return b.String()
}

func writeDigits(b *strings.Builder, bits uint16) {
	for n := 0; n <= 8; n++ {
		if bits&(1<<n) != 0 {
			b.WriteByte(byte('0' + n))
		}
	}
}

// ParseRule reads a rule in one of the usual notations: "B3/S23", "b3s23",
// "S23/B3", "23/3" (survival first), or a well-known name such as "Life" or
// "HighLife". Rules with B0 and rules of other kinds are refused with an error
// that wraps [ErrRule] and names the kind.
func ParseRule(text string) (Rule, error) {
	s := strings.TrimSpace(text)
	if r, ok := ruleNames[strings.ToLower(s)]; ok {
		return r, nil
	}
	if kind := foreignKind(s); kind != "" {
		return Rule{}, fmt.Errorf("%w: %q is %s; use a Life-like rule such as B3/S23", ErrRule, clip(text), kind)
	}
	birth, survive, err := splitRule(s)
	if err != nil {
		return Rule{}, fmt.Errorf("%w: %q %w", ErrRule, clip(text), err)
	}
	var r Rule
	if r.Birth, err = parseDigits(birth); err == nil {
		r.Survive, err = parseDigits(survive)
	}
	if err != nil {
		return Rule{}, fmt.Errorf("%w: %q %w", ErrRule, clip(text), err)
	}
	if r.Birth&1 != 0 {
		return Rule{}, fmt.Errorf("%w: %q has B0, which lights the whole empty background every other generation; choose a rule without 0 behind B", ErrRule, clip(text))
	}
	return r, nil
}

// ruleNames are the names people give to Life-like rules without B0.
var ruleNames = map[string]Rule{
	"life":               Life,
	"conway's life":      Life,
	"highlife":           mustRule("36", "23"),
	"seeds":              mustRule("2", ""),
	"day & night":        mustRule("3678", "34678"),
	"daynight":           mustRule("3678", "34678"),
	"2x2":                mustRule("36", "125"),
	"maze":               mustRule("3", "12345"),
	"diamoeba":           mustRule("35678", "5678"),
	"life without death": mustRule("3", "012345678"),
	"replicator":         mustRule("1357", "1357"),
	"34 life":            mustRule("34", "34"),
	"morley":             mustRule("368", "245"),
	"anneal":             mustRule("4678", "35678"),
	"dry life":           mustRule("37", "23"),
}

func mustRule(birth, survive string) Rule {
	b, err := parseDigits(birth)
	s, err2 := parseDigits(survive)
	if err != nil || err2 != nil {
		panic("grid: rule table: " + birth + "/" + survive)
	}
	return Rule{Birth: b, Survive: s}
}

// splitRule finds the digits of birth and of survival in s.
func splitRule(s string) (birth, survive string, err error) {
	if s == "" {
		return "", "", errors.New("is empty; write B3/S23 for Conway's Life")
	}
	first, second, slash := strings.Cut(s, "/")
	if !slash {
		if first, second, slash = cutBeforeSecondLetter(s); !slash {
			return "", "", errors.New("has no birth and survival parts; write it as B3/S23 or 23/3")
		}
	}
	a, da := letterOf(first)
	b, db := letterOf(second)
	switch {
	case a == 'b' && b == 's', a == 'b' && b == 0 && slash:
		return da, db, nil
	case a == 's' && b == 'b':
		return db, da, nil
	case a == 0 && b == 0: // the old notation has survival first
		return db, da, nil
	}
	return "", "", errors.New("does not name birth (B) and survival (S) once each; write it as B3/S23")
}

// cutBeforeSecondLetter splits "b3s23" into "b3" and "s23".
func cutBeforeSecondLetter(s string) (string, string, bool) {
	for i := 1; i < len(s); i++ {
		if c := s[i] | 0x20; c == 'b' || c == 's' {
			return s[:i], s[i:], true
		}
	}
	return s, "", false
}

// letterOf takes a leading B or S off, in lower case; 0 where there is none.
func letterOf(s string) (byte, string) {
	s = strings.TrimSpace(s)
	if s != "" && (s[0]|0x20 == 'b' || s[0]|0x20 == 's') {
		return s[0] | 0x20, s[1:]
	}
	return 0, s
}

func parseDigits(s string) (uint16, error) {
	var bits uint16
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '8' {
			return 0, fmt.Errorf("has %q where a neighbour count from 0 to 8 belongs", s[i])
		}
		bits |= 1 << (s[i] - '0')
	}
	return bits, nil
}

// foreignKind names the kind of a rule that is not Life-like, "" where s may
// be one.
func foreignKind(s string) string {
	lower := strings.ToLower(s)
	switch {
	case strings.HasPrefix(lower, "map"):
		return "a MAP rule (one bit for each of the 512 neighbourhoods)"
	case isLargerThanLife(lower):
		return "a Larger than Life or HROT rule (a neighbourhood beyond the eight)"
	case strings.HasPrefix(lower, "w") && allDigits(lower[1:]):
		return "a one-dimensional Wolfram rule"
	case isGenerations(lower):
		return "a Generations rule (dying cells with more than two states)"
	case hasNeighbourhood(lower):
		return "a rule of the von Neumann (V) or hexagonal (H) neighbourhood"
	case isHensel(lower):
		return "a non-totalistic rule (Hensel letters)"
	case isTableName(lower):
		return "a name that is not known here (a rule table or tree, perhaps)"
	}
	return ""
}

func isLargerThanLife(s string) bool {
	return len(s) > 1 && s[0] == 'r' && s[1] >= '0' && s[1] <= '9' && strings.Contains(s, ",")
}

// isGenerations recognises 23/3/4, B2/S/C3, B2/S/3 and g3b2s.
func isGenerations(s string) bool {
	if strings.Count(s, "/") >= 2 {
		return true
	}
	if strings.HasPrefix(s, "g") && len(s) > 1 && s[1] >= '0' && s[1] <= '9' {
		return true
	}
	c := strings.LastIndexByte(s, 'c')
	return c > 0 && s[0] == 'b' && c+1 < len(s) && allDigits(s[c+1:]) && strings.Contains(s, "s") && s[c-1] == '/'
}

func hasNeighbourhood(s string) bool {
	if n := len(s); n < 2 || (s[n-1] != 'v' && s[n-1] != 'h') {
		return false
	}
	return strings.Trim(s[:len(s)-1], "bs/0123456789 ") == ""
}

// isHensel recognises digits followed by the letters that pick neighbourhoods,
// with "-" for all but those.
func isHensel(s string) bool {
	letters := false
	for i := 1; i < len(s); i++ {
		digit := s[i-1] >= '0' && s[i-1] <= '9'
		if digit && (s[i] == '-' || strings.IndexByte("cekainyqjrtwz", s[i]) >= 0) {
			letters = true
		}
	}
	return letters && strings.Trim(s, "bs/0123456789-cekainyqjrtwz ") == ""
}

func isTableName(s string) bool {
	return s != "" && strings.Trim(s, "bs/0123456789 ") != "" && (s[0] < '0' || s[0] > '9') && !strings.ContainsAny(s, "/")
}

func allDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// clip shortens what a message quotes from its input.
func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// survivalFirst writes r in the old notation, "23/3".
func (r Rule) survivalFirst() string {
	var b strings.Builder
	writeDigits(&b, r.Survive)
	b.WriteByte('/')
	writeDigits(&b, r.Birth)
	return b.String()
}
