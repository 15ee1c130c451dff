package grid

import (
	"bytes"
	"fmt"
	"strings"
)

// Format is a way to write a pattern as text.
type Format uint8

// The formats that [Parse] reads. [Append] writes all but FormatMacrocell.
const (
	FormatUnknown   Format = iota
	FormatRLE              // run length encoded, .rle; the only one with states
	FormatCells            // plaintext, .cells
	FormatLife105          // .lif, blocks of text with places
	FormatLife106          // .lif, one "x y" a line
	FormatMacrocell        // .mc, a quadtree
)

var formatNames = [...]string{"unknown", "rle", "cells", "life105", "life106", "macrocell"}

// String returns the name that [ParseFormat] reads.
func (f Format) String() string {
	if int(f) >= len(formatNames) {
		return formatNames[FormatUnknown]
	}
	return formatNames[f]
}

// ParseFormat reads a format's name, in any case.
func ParseFormat(name string) (Format, error) {
	for f := FormatRLE; f <= FormatMacrocell; f++ {
		if strings.EqualFold(name, f.String()) {
			return f, nil
		}
	}
	return FormatUnknown, fmt.Errorf("unknown pattern format %q: use one of %s", name, strings.Join(formatNames[1:], ", "))
}

// Parse reads a pattern in whichever format it is in, see [Detect]. It takes
// memory in proportion to b, and for live cells at most what limits say. The
// result holds no reference to b.
func Parse(b []byte, limits PatternLimits) (*Pattern, error) {
	switch Detect(b) {
	case FormatMacrocell:
		return ParseMacrocell(b, limits)
	case FormatLife105:
		return ParseLife105(b, limits)
	case FormatLife106:
		return ParseLife106(b, limits)
	case FormatCells:
		return ParseCells(b, limits)
	default:
		return ParseRLE(b, limits)
	}
}

// Append writes p behind dst in format f. States other than dead and alive
// survive only in FormatRLE. It fails for a format that cannot be written, and
// with [ErrPatternTooLarge] where plain text would grow beyond all measure.
func Append(dst []byte, p *Pattern, f Format) ([]byte, error) {
	switch f {
	case FormatRLE:
		return AppendRLE(dst, p), nil
	case FormatCells:
		return AppendCells(dst, p)
	case FormatLife105:
		return AppendLife105(dst, p), nil
	case FormatLife106:
		return AppendLife106(dst, p), nil
	}
	return dst, fmt.Errorf("cannot write format %s: use rle, cells, life105 or life106", f)
}

// Detect names the format of b from its marks: "[M2]", "#Life 1.05", a header
// "x =", "!" comments, or else from what the first lines look like. What could
// be anything is taken for RLE, whose parser explains best what is wrong.
func Detect(b []byte) Format {
	in := newLines(b)
	block := false // "#P" is a block's corner in Life 1.05, a place in old RLE
	for {
		line, ok := in.next()
		if !ok {
			return FormatRLE
		}
		text := bytes.TrimSpace(line)
		if len(text) == 0 {
			continue
		}
		if f := detectMark(text); f != FormatUnknown {
			return f
		}
		if text[0] != '#' {
			return detectBody(text, block)
		}
		block = block || bytes.HasPrefix(text, []byte("#P"))
	}
}

// detectMark knows the lines that only one format has.
func detectMark(text []byte) Format {
	lower := strings.ToLower(string(text[:min(len(text), 16)]))
	switch {
	case strings.HasPrefix(lower, "[m2]"):
		return FormatMacrocell
	case strings.HasPrefix(lower, "#life 1.05"):
		return FormatLife105
	case strings.HasPrefix(lower, "#life 1.06"):
		return FormatLife106
	case lower[0] == '!' && len(lower) > 1:
		return FormatCells
	}
	return FormatUnknown
}

// detectBody looks at the first line that is no comment; block says whether
// there was a "#P" before it.
func detectBody(text []byte, block bool) Format {
	if len(bytes.Trim(text, ".oO*")) == 0 {
		if block {
			return FormatLife105
		}
		return FormatCells
	}
	if parts := fields(text, 3); len(parts) == 2 && isInteger(parts[0]) && isInteger(parts[1]) {
		return FormatLife106
	}
	return FormatRLE
}

func isInteger(b []byte) bool {
	b = bytes.TrimPrefix(b, []byte("-"))
	return len(b) > 0 && len(bytes.Trim(b, "0123456789")) == 0
}
