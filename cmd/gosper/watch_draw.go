package main

import (
	"encoding/json"
	"strconv"

	"gosper/grid"
)

// users takes colours from what describes a game or its users.
func (s *show) users(content []byte) {
	type user struct {
		Number uint8  `json:"number"`
		Color  string `json:"color"`
	}
	var in struct {
		Users []user `json:"users"`
		Game  struct {
			Users []user `json:"users"`
		} `json:"game"`
	}
	if json.Unmarshal(content, &in) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range append(in.Users, in.Game.Users...) {
		if c, err := strconv.ParseUint(u.Color, 16, 24); err == nil {
			s.colours[u.Number] = uint32(c)
		}
	}
}

// appendPicture draws g in rows lines of cols characters: half blocks, one column and two rows of cells each, when that is
// enough, else braille, two columns and four rows; a grid larger than that is scaled down, where a dot stands for cells
// of which any lives.
func appendPicture(dst []byte, g *grid.Grid, cols, rows int, colour func(x, y int) uint32) []byte {
	o := g.Options()
	if o.Width <= cols && o.Height <= 2*rows {
		return appendHalves(dst, g, colour)
	}
	scale := max((o.Width+2*cols-1)/(2*cols), (o.Height+4*rows-1)/(4*rows))
	return appendBraille(dst, g, scale, colour)
}

// appendHalves draws two rows of cells in each line.
func appendHalves(dst []byte, g *grid.Grid, colour func(x, y int) uint32) []byte {
	o := g.Options()
	for y := 0; y < o.Height; y += 2 {
		p := pen{colour: noColour}
		for x := range o.Width {
			top, bottom := g.Alive(x, y), y+1 < o.Height && g.Alive(x, y+1)
			switch {
			case top && bottom && colour(x, y) != colour(x, y+1):
				dst = p.back(dst, colour(x, y+1))
				dst = append(p.use(dst, colour(x, y)), "▀"...)
				dst = p.plain(dst)
			case top && bottom:
				dst = append(p.use(dst, colour(x, y)), "█"...)
			case top:
				dst = append(p.use(dst, colour(x, y)), "▀"...)
			case bottom:
				dst = append(p.use(dst, colour(x, y+1)), "▄"...)
			default:
				dst = append(dst, ' ')
			}
		}
		dst = append(p.plain(dst), "\x1b[K\r\n"...)
	}
	return dst
}

// dots are the bits of a braille character, by row and column.
var dots = [4][2]rune{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}

// appendBraille draws blocks of scale by scale cells as dots. A character has the colour of its first live cell.
func appendBraille(dst []byte, g *grid.Grid, scale int, colour func(x, y int) uint32) []byte {
	o := g.Options()
	for y := 0; y < o.Height; y += 4 * scale {
		p := pen{colour: noColour}
		for x := 0; x < o.Width; x += 2 * scale {
			char, c := rune(0x2800), noColour
			for row := range dots {
				for col := range dots[row] {
					if cx, cy, ok := anyAlive(g, x+col*scale, y+row*scale, scale); ok {
						if char == 0x2800 {
							c = colour(cx, cy)
						}
						char |= dots[row][col]
					}
				}
			}
			dst = append(p.use(dst, c), string(char)...)
		}
		dst = append(p.plain(dst), "\x1b[K\r\n"...)
	}
	return dst
}

// anyAlive returns a live cell of a square, if there is one.
func anyAlive(g *grid.Grid, x, y, side int) (cx, cy int, ok bool) {
	o := g.Options()
	for cy = y; cy < min(y+side, o.Height); cy++ {
		for cx = x; cx < min(x+side, o.Width); cx++ {
			if g.Alive(cx, cy) {
				return cx, cy, true
			}
		}
	}
	return 0, 0, false
}

// pen writes the control sequences of colours, only where they change.
type pen struct {
	colour uint32
	used   bool
}

func (p *pen) use(dst []byte, c uint32) []byte {
	if c == p.colour {
		return dst
	}
	if c == noColour {
		return p.plain(dst)
	}
	p.colour, p.used = c, true
	return appendColour(dst, "38", c)
}

// back sets the background for one character, after which plain has to follow.
func (p *pen) back(dst []byte, c uint32) []byte {
	if c == noColour {
		return dst
	}
	p.used = true
	return appendColour(dst, "48", c)
}

// plain goes back to the terminal's own colours.
func (p *pen) plain(dst []byte) []byte {
	if !p.used {
		return dst
	}
	*p = pen{colour: noColour}
	return append(dst, "\x1b[0m"...)
}

func appendColour(dst []byte, what string, c uint32) []byte {
	dst = append(append(append(dst, "\x1b["...), what...), ";2"...)
	for shift := 16; shift >= 0; shift -= 8 {
		dst = strconv.AppendUint(append(dst, ';'), uint64(c>>shift&255), 10)
	}
	return append(dst, 'm')
}
