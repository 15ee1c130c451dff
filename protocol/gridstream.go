package protocol

import (
	"bytes"
	"math"
	"strconv"
)

// MaxGrid is the largest index of a grid in its game.
const MaxGrid = 1<<16 - 1

// GridName names a grid on the line door and in functions: game/grid, such as "3k9zt0m1q2/0". Game is a name
// ([ValidName]).
type GridName struct {
	Game string
	Grid uint16
}

// AppendGridName appends "game/grid".
func AppendGridName(dst []byte, n GridName) []byte {
	dst = append(append(dst, n.Game...), '/')
	return strconv.AppendUint(dst, uint64(n.Grid), 10)
}

// parseGridName reads "game/grid". Error: ErrBadLine.
func parseGridName(b []byte) (GridName, error) {
	game, index, ok := bytes.Cut(b, []byte("/"))
	if !ok || len(game) > MaxName || !ValidName(string(game)) {
		return GridName{}, ErrBadLine
	}
	grid, ok := decimal(index, MaxGrid)
	if !ok {
		return GridName{}, ErrBadLine
	}
	return GridName{Game: string(game), Grid: uint16(grid)}, nil
}

// WatchMode is what a watcher of a grid gets after the snapshot.
type WatchMode uint8

// The modes. The zero value is WatchCells.
const (
	WatchCells WatchMode = iota // "cells": every generation
	WatchEdits                  // "edits": only edits and marks; the client computes the generations itself
	WatchView                   // "view x,y,w,h": as cells, only what lies in a rectangle
)

var watchModeNames = [...]string{WatchCells: "cells", WatchEdits: "edits", WatchView: "view"}

// String returns the name of the mode, "?" for an unknown one.
func (m WatchMode) String() string {
	if int(m) >= len(watchModeNames) {
		return "?"
	}
	return watchModeNames[m]
}

// GridRect is a rectangle of cells; X and Y are its left and top. Parsers make no rectangle with a negative number.
type GridRect struct{ X, Y, Width, Height int32 }

// Watch is the payload of 00000WATCH and 000UNWATCH: "game/grid", "game/grid edits", "game/grid view 64,0,128,128".
// View is the zero value unless Mode is WatchView.
type Watch struct {
	GridName
	Mode WatchMode
	View GridRect
}

// AppendWatch appends the payload.
func AppendWatch(dst []byte, w Watch) []byte {
	dst = AppendGridName(dst, w.GridName)
	dst = append(append(dst, ' '), w.Mode.String()...)
	if w.Mode != WatchView {
		return dst
	}
	for i, v := range [4]int32{w.View.X, w.View.Y, w.View.Width, w.View.Height} {
		dst = append(dst, " ,,,"[i])
		dst = strconv.AppendInt(dst, int64(v), 10)
	}
	return dst
}

// ParseWatch reads the payload; without a mode it is WatchCells. Error: ErrBadLine.
func ParseWatch(b []byte) (Watch, error) {
	name, mode, hasMode := bytes.Cut(b, []byte(" "))
	n, err := parseGridName(name)
	w := Watch{GridName: n}
	if err != nil || !hasMode {
		return w, err
	}
	mode, rect, hasRect := bytes.Cut(mode, []byte(" "))
	switch {
	case string(mode) == "cells" && !hasRect:
		return w, nil
	case string(mode) == "edits" && !hasRect:
		w.Mode = WatchEdits
		return w, nil
	case string(mode) == "view" && hasRect:
		w.Mode = WatchView
		if w.View, err = parseGridRect(rect); err == nil {
			return w, nil
		}
	}
	return Watch{}, ErrBadLine
}

// parseGridRect reads "x,y,w,h".
func parseGridRect(b []byte) (GridRect, error) {
	var v [4]int32
	for i := range v {
		part, rest, more := bytes.Cut(b, []byte(","))
		n, ok := decimal(part, 1<<31-1)
		if !ok || more != (i < 3) {
			return GridRect{}, ErrBadLine
		}
		v[i], b = int32(n), rest
	}
	return GridRect{v[0], v[1], v[2], v[3]}, nil
}

// GridEdit is the payload of 000000EDIT from a client: "game/grid x,y RLE", or "game/grid x,y !RLE" to kill the cells
// that the pattern names. Runs are the rows of an RLE pattern on one line; they are not looked at here and alias the
// payload. x and y are the place of the pattern's top left corner and may be negative.
type GridEdit struct {
	GridName
	X, Y int32
	Kill bool
	Runs []byte
}

// AppendGridEdit appends the payload.
func AppendGridEdit(dst []byte, e GridEdit) []byte {
	dst = append(AppendGridName(dst, e.GridName), ' ')
	dst = append(strconv.AppendInt(dst, int64(e.X), 10), ',')
	dst = append(strconv.AppendInt(dst, int64(e.Y), 10), ' ')
	if e.Kill {
		dst = append(dst, '!')
	}
	return append(dst, e.Runs...)
}

// ParseGridEdit reads the payload. Error: ErrBadLine, for empty runs too.
func ParseGridEdit(b []byte) (GridEdit, error) {
	name, rest, _ := bytes.Cut(b, []byte(" "))
	place, runs, _ := bytes.Cut(rest, []byte(" "))
	x, y, _ := bytes.Cut(place, []byte(","))
	var e GridEdit
	var err error
	if e.GridName, err = parseGridName(name); err != nil {
		return GridEdit{}, err
	}
	var goodX, goodY bool
	e.X, goodX = signed(x)
	e.Y, goodY = signed(y)
	e.Runs, e.Kill = bytes.CutPrefix(runs, []byte("!"))
	if !goodX || !goodY || len(e.Runs) == 0 {
		return GridEdit{}, ErrBadLine
	}
	return e, nil
}

// GridEdited is the payload of 000000EDIT from the server: "game/grid seq generation". Seq is the place of the edit in
// the order of all edits of the game, from 1. An edit that was refused has Seq 0 and a reason behind the generation.
type GridEdited struct {
	GridName
	Seq, Generation uint64
	Refused         string // why; empty for an edit that was done
}

// AppendGridEdited appends the payload. Control characters of the reason become blanks.
func AppendGridEdited(dst []byte, e GridEdited) []byte {
	dst = append(AppendGridName(dst, e.GridName), ' ')
	dst = append(strconv.AppendUint(dst, e.Seq, 10), ' ')
	dst = strconv.AppendUint(dst, e.Generation, 10)
	if e.Refused == "" {
		return dst
	}
	dst = append(dst, ' ')
	for i := range len(e.Refused) {
		dst = append(dst, max(e.Refused[i], ' '))
	}
	return dst
}

// ParseGridEdited reads the payload. Error: ErrBadLine.
func ParseGridEdited(b []byte) (GridEdited, error) {
	name, rest, _ := bytes.Cut(b, []byte(" "))
	seq, rest, _ := bytes.Cut(rest, []byte(" "))
	generation, reason, refused := bytes.Cut(rest, []byte(" "))
	n, err := parseGridName(name)
	if err != nil {
		return GridEdited{}, err
	}
	s, goodSeq := decimal(seq, math.MaxUint64)
	g, goodGeneration := decimal(generation, math.MaxUint64)
	if !goodSeq || !goodGeneration || refused && (s != 0 || len(reason) == 0) {
		return GridEdited{}, ErrBadLine
	}
	return GridEdited{GridName: n, Seq: s, Generation: g, Refused: string(reason)}, nil
}

// GridLine is the payload of 000000GRID, "game/grid generation WxH hash RLE", and of 00000DELTA, the same without WxH.
// Hash is that of the live cells and stands as 16 small hex digits. Runs are RLE rows on one line from the top left
// corner of the grid: all live cells in GRID, in DELTA the cells that flipped; on a grid with owners the state of a cell
// that lives is its owner plus one. They are not looked at here and alias the payload when parsed.
//
// After a GRID, a watcher of cells or a view gets a DELTA for each generation, and one of the generation it already has
// when edits changed cells. A watcher of edits gets only the latter, and DELTAs without a cell ("!") that name a
// generation and its hash: it computes the generations between by itself.
type GridLine struct {
	GridName
	Generation    uint64
	Width, Height uint32 // 0 in DELTA
	Hash          uint64
	Runs          []byte
}

// AppendGridLine appends the payload of 000000GRID, or, when Width is 0, of 00000DELTA.
func AppendGridLine(dst []byte, l GridLine) []byte {
	dst = append(AppendGridName(dst, l.GridName), ' ')
	dst = append(strconv.AppendUint(dst, l.Generation, 10), ' ')
	if l.Width != 0 {
		dst = append(strconv.AppendUint(dst, uint64(l.Width), 10), 'x')
		dst = append(strconv.AppendUint(dst, uint64(l.Height), 10), ' ')
	}
	const small = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, small[l.Hash>>shift&15])
	}
	return append(append(dst, ' '), l.Runs...)
}

// ParseGridLine reads the payload of 000000GRID (whole) or 00000DELTA. Error: ErrBadLine.
func ParseGridLine(b []byte, whole bool) (GridLine, error) {
	name, rest, _ := bytes.Cut(b, []byte(" "))
	generation, rest, _ := bytes.Cut(rest, []byte(" "))
	n, err := parseGridName(name)
	if err != nil {
		return GridLine{}, err
	}
	l := GridLine{GridName: n}
	good, sized := false, true
	l.Generation, good = decimal(generation, math.MaxUint64)
	if whole {
		var size []byte
		size, rest, _ = bytes.Cut(rest, []byte(" "))
		width, height, _ := bytes.Cut(size, []byte("x"))
		w, goodWidth := decimal(width, 1<<31-1)
		h, goodHeight := decimal(height, 1<<31-1)
		l.Width, l.Height = uint32(w), uint32(h)
		sized = goodWidth && goodHeight && w > 0 && h > 0
	}
	hash, runs, _ := bytes.Cut(rest, []byte(" "))
	hashed := false
	l.Hash, hashed = parseHash(hash)
	l.Runs = runs
	if !good || !sized || !hashed || len(runs) == 0 {
		return GridLine{}, ErrBadLine
	}
	return l, nil
}

// parseHash reads 16 small hex digits.
func parseHash(b []byte) (h uint64, ok bool) {
	if len(b) != 16 {
		return 0, false
	}
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, false
		}
		h = h<<4 | uint64(c)
	}
	return h, true
}

// decimal reads an integer of 0 to most without sign or leading zero.
func decimal(b []byte, most uint64) (uint64, bool) {
	v, ok := parseUint(b)
	return v, ok && v <= most && (len(b) == 1 || b[0] != '0')
}

// signed reads an int32 without plus sign or leading zero.
func signed(b []byte) (int32, bool) {
	digits, minus := bytes.CutPrefix(b, []byte("-"))
	v, ok := decimal(digits, 1<<31-1)
	if minus {
		return -int32(v), ok && v != 0
	}
	return int32(v), ok
}
