package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Worlds is a set of numbered worlds, as ranges that neither meet nor overlap, in order. Its text is "1, 4-7".
type Worlds []Range

// Range is the worlds from First to Last, both of them included.
type Range struct{ First, Last uint32 }

// maxRanges bounds the ranges of one text.
const maxRanges = 1024

// ParseWorlds reads numbers and ranges with commas between them, such as "1, 4-7", in any order. Ranges may overlap. A
// text of blanks is the empty set.
func ParseWorlds(text string) (Worlds, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	if strings.Count(text, ",") >= maxRanges {
		return nil, fmt.Errorf("worlds: more than %d ranges", maxRanges)
	}
	var all Worlds
	for part := range strings.SplitSeq(text, ",") {
		r, err := parseRange(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all.join(), nil
}

func parseRange(text string) (Range, error) {
	from, to, many := strings.Cut(text, "-")
	if !many {
		to = from
	}
	first, err := strconv.ParseUint(strings.TrimSpace(from), 10, 32)
	last, err2 := strconv.ParseUint(strings.TrimSpace(to), 10, 32)
	switch {
	case err != nil || err2 != nil:
		return Range{}, fmt.Errorf("worlds: %q is no number or range: write 1, 4-7", text)
	case first > last:
		return Range{}, fmt.Errorf("worlds: %q ends before it begins", text)
	}
	return Range{uint32(first), uint32(last)}, nil
}

// join sorts ranges and makes one of those that meet or overlap.
func (w Worlds) join() Worlds {
	slices.SortFunc(w, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	out := w[:0]
	for _, r := range w {
		if n := len(out); n > 0 && uint64(r.First) <= uint64(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// Has says whether a world is in the set.
func (w Worlds) Has(world uint32) bool {
	_, found := slices.BinarySearchFunc(w, world, func(r Range, world uint32) int {
		switch {
		case r.Last < world:
			return -1
		case r.First > world:
			return 1
		}
		return 0
	})
	return found
}

// String returns the text that ParseWorlds reads.
func (w Worlds) String() string {
	parts := make([]string, len(w))
	for i, r := range w {
		parts[i] = strconv.FormatUint(uint64(r.First), 10)
		if r.Last > r.First {
			parts[i] += "-" + strconv.FormatUint(uint64(r.Last), 10)
		}
	}
	return strings.Join(parts, ", ")
}

// MarshalText implements encoding.TextMarshaler.
func (w Worlds) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (w *Worlds) UnmarshalText(text []byte) error {
	parsed, err := ParseWorlds(string(text))
	*w = parsed
	return err
}

// overlap returns a world that both sets have; false when there is none.
func (w Worlds) overlap(other Worlds) (uint32, bool) {
	for _, r := range w {
		for _, o := range other {
			if first := max(r.First, o.First); first <= min(r.Last, o.Last) {
				return first, true
			}
		}
	}
	return 0, false
}

var errNoWorlds = errors.New(`every map needs the text worlds, such as "1, 4-7"`)
