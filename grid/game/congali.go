package game

import (
	"errors"
	"fmt"
	"math"

	"gosper/grid"
)

// Pixels is the space of older clients, who name places of a board in pixels: from 0 to Width and 0 to Height
// inclusive, in steps of Resolution.
type Pixels struct{ Width, Height, Resolution int }

// ClassicPixels is the board that they know: 3200 by 3200 in steps of 10, so 321 by 321 places.
var ClassicPixels = Pixels{3200, 3200, 10}

// Grid returns the grid that has these places: a bounded plane whose newborn cells get the mean of their parents'
// colours as whole numbers. Error: ErrResolution, or ErrInvalid for a negative side.
func (p Pixels) Grid() (GridSpec, error) {
	if p.Resolution <= 0 {
		return GridSpec{}, ErrResolution
	}
	if p.Width < 0 || p.Height < 0 {
		return GridSpec{}, fmt.Errorf("%w: a board of %d by %d pixels", ErrInvalid, p.Width, p.Height)
	}
	return GridSpec{
		Width: p.Width/p.Resolution + 1, Height: p.Height/p.Resolution + 1, Rule: grid.Life, Topology: grid.Plane, Mode: Blended,
	}, nil
}

// Cell returns the cell of a raw position, such as that of a mouse: ⌊position/Resolution⌋. Error: ErrResolution, or
// grid.ErrOutside for what is no cell of the board.
func (p Pixels) Cell(x, y float64) (int32, int32, error) {
	if p.Resolution <= 0 {
		return 0, 0, ErrResolution
	}
	r := float64(p.Resolution)
	cx, cy := math.Floor(x/r), math.Floor(y/r)
	if !(cx >= 0 && cy >= 0 && cx <= float64(p.Width/p.Resolution) && cy <= float64(p.Height/p.Resolution)) {
		return 0, 0, fmt.Errorf("position (%v, %v): %w", x, y, grid.ErrOutside)
	}
	return int32(cx), int32(cy), nil
}

// Pixel returns the position of a cell, the opposite of Cell.
func (p Pixels) Pixel(x, y int32) (int, int) { return int(x) * p.Resolution, int(y) * p.Resolution }

// ErrNoTemplate is returned for a name that no template has.
var ErrNoTemplate = errors.New("there is no such template: list the templates to see which there are")

// TemplateEdit returns the edit that lays a template of the catalogue with its corner at (x, y): all or nothing.
// Error: ErrNoTemplate.
func TemplateEdit(name string, x, y int32, o grid.Orientation) (Edit, error) {
	t, ok := grid.FindTemplate(name)
	if !ok {
		return Edit{}, fmt.Errorf("%w: %q", ErrNoTemplate, name)
	}
	return Edit{Kind: Stamp, X: x, Y: y, Pattern: t.Pattern, Orientation: o}, nil
}
