package game

import (
	"fmt"
	"strings"
)

// Colour is 0xRRGGBB, or AnyColour in a request.
type Colour uint32

// AnyColour asks for a colour that the game chooses.
const AnyColour Colour = 1 << 24

// ParseColour reads six hex digits with or without "#" before them; "" is AnyColour. Error: ErrColour.
func ParseColour(s string) (Colour, error) {
	if s == "" {
		return AnyColour, nil
	}
	s = strings.TrimPrefix(s, "#")
	if len(s) != 6 {
		return 0, ErrColour
	}
	var c Colour
	for i := range len(s) {
		d := s[i]
		switch {
		case d >= '0' && d <= '9':
			d -= '0'
		case d|0x20 >= 'a' && d|0x20 <= 'f':
			d = d | 0x20 - 'a' + 10
		default:
			return 0, ErrColour
		}
		c = c<<4 | Colour(d)
	}
	return c, nil
}

// String returns six small hex digits, "any" for AnyColour.
func (c Colour) String() string {
	if c >= AnyColour {
		return "any"
	}
	return fmt.Sprintf("%06x", uint32(c))
}

// palette holds colours that most people can tell apart on dark and on light ground.
var palette = [...]Colour{
	0xe6194b, 0x3cb44b, 0x4363d8, 0xf58231, 0x911eb4, 0x42d4f4, 0xf032e6, 0xbfef45, 0x469990, 0x9a6324, 0xe4b400,
	0x800000, 0x808000, 0x000075, 0x7a7a7a, 0xff7f6e, 0x00a86b, 0x5b8cff, 0xc46bff, 0xa0c020,
}

// chooseColour returns want when it is free, otherwise another colour that is. It depends on nothing but its arguments:
// a log that is played again gives the same colours. seed makes users differ in where they begin to look.
func chooseColour(want Colour, seed string, taken func(Colour) bool) Colour {
	if want < AnyColour && !taken(want) {
		return want
	}
	var h uint32 = 2166136261
	for i := range len(seed) {
		h = (h ^ uint32(seed[i])) * 16777619
	}
	for i := range uint32(len(palette)) {
		if c := palette[(h+i)%uint32(len(palette))]; !taken(c) {
			return c
		}
	}
	for { // there are far more colours than users
		h = h*1664525 + 1013904223
		if c := Colour(h>>8)&0xffffff | 0x404040; !taken(c) {
			return c
		}
	}
}
