package grid

import (
	"embed"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// Template is a well-known pattern with what is known about it. Every number
// is proven by a test that runs the pattern. Treat it as read-only: all callers
// share it.
type Template struct {
	Name string
	// Also is a second name, "" for most.
	Also  string
	Group string
	// Pattern is under the rule [Life]. Its cells may leave the first column or
	// row of its box empty, as a template's points are counted from its corner.
	Pattern *Pattern
	// Width, Height and Cells are the box of the live cells and their number in
	// the phase that Pattern is in.
	Width, Height, Cells int
	// Period is the number of generations after which the pattern (of a gun or
	// a puffer: its engine) is the same again, moved by (DX, DY) cells. 0 for
	// patterns that come to rest, see Settles.
	Period, DX, DY int
	// Growth is by how much the population grows in every Period, from
	// generation Since on. 0 for all but guns and puffers.
	Growth, Since int
	// Settles is the generation from which on only still lifes, oscillators and
	// escaping spaceships are left, and Leaves how many live cells there are
	// then. For patterns that die out Leaves is 0. Only for methuselahs.
	Settles, Leaves int
	// Classic marks the twelve templates of the first generation of shared
	// Life servers.
	Classic bool
}

// Speed tells how fast t moves: "c/4 diagonal", "2c/5 orthogonal", or "" when
// it stays where it is. c is one cell a generation.
func (t *Template) Speed() string {
	dx, dy := abs(t.DX), abs(t.DY)
	if dx == 0 && dy == 0 {
		return ""
	}
	if dx != dy && dx != 0 && dy != 0 {
		return fmt.Sprintf("(%d,%d)c/%d oblique", max(dx, dy), min(dx, dy), t.Period)
	}
	n, p := max(dx, dy), t.Period
	d := gcd(n, p)
	speed := fmt.Sprintf("%dc/%d", n/d, p/d)
	if n == d {
		speed = fmt.Sprintf("c/%d", p/d)
	}
	if dx == dy {
		return speed + " diagonal"
	}
	return speed + " orthogonal"
}

// shortName is what t is called in a sentence: "glider", "LWSS".
func (t *Template) shortName() string {
	name := t.Name
	if t.Also != "" {
		name = t.Also
	}
	if len(name) > 1 && name[1] >= 'a' && name[1] <= 'z' {
		name = strings.ToLower(name[:1]) + name[1:]
	}
	return name
}

// Group is a part of the catalogue.
type Group struct {
	Name      string
	Templates []*Template
}

// catalogueFiles are the groups, one file each in the order they are shown.
// The first line of a file is the group's name; then come the templates, each a
// line "Name = key value, …" and its rows in run length encoding:
//
//	Glider = period 4, moves 1 1, box 3 3, cells 5, classic
//	bo$2bo$3o!
//
//go:embed catalogue/*.txt
var catalogueFiles embed.FS

// Catalogue returns all groups of well-known patterns. It is read once; the
// result is shared and must not be changed. It may be called by several
// goroutines.
func Catalogue() []Group { return loadCatalogue().groups }

// FindTemplate returns the template of that name, or second name, in any case.
func FindTemplate(name string) (*Template, bool) {
	t, ok := loadCatalogue().byName[strings.ToLower(strings.TrimSpace(name))]
	return t, ok
}

type catalogue struct {
	groups []Group
	byName map[string]*Template
}

// loadCatalogue reads the embedded files. A mistake in them is one of this
// package, and every test would see it, so it panics.
var loadCatalogue = sync.OnceValue(func() *catalogue {
	files, err := catalogueFiles.ReadDir("catalogue")
	if err != nil {
		panic("grid: catalogue: " + err.Error())
	}
	c := &catalogue{byName: map[string]*Template{}}
	for _, f := range files {
		text, err := catalogueFiles.ReadFile("catalogue/" + f.Name())
		if err == nil {
			err = c.group(string(text))
		}
		if err != nil {
			panic("grid: catalogue: " + f.Name() + ": " + err.Error())
		}
	}
	return c
})

// group reads one file.
func (c *catalogue) group(text string) error {
	blocks := strings.Split(strings.TrimSpace(text), "\n\n")
	g := Group{Name: blocks[0]}
	for _, block := range blocks[1:] {
		t, err := parseTemplate(g.Name, block)
		if err != nil {
			return err
		}
		g.Templates = append(g.Templates, t)
		for _, name := range []string{t.Name, t.Also} {
			key := strings.ToLower(name)
			if c.byName[key] != nil {
				return fmt.Errorf("the name %q is there twice", name)
			}
			if name != "" {
				c.byName[key] = t
			}
		}
	}
	c.groups = append(c.groups, g)
	return nil
}

// parseTemplate reads a line of facts and the rows behind it.
func parseTemplate(group, block string) (*Template, error) {
	head, rows, _ := strings.Cut(block, "\n")
	name, facts, ok := strings.Cut(head, " = ")
	if !ok {
		return nil, fmt.Errorf("%q has no facts", head)
	}
	p, err := ParseRLE([]byte(rows), PatternLimits{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p.Name, p.Rule = name, Life
	t := &Template{Name: name, Group: group, Pattern: p}
	for _, fact := range strings.Split(facts, ", ") {
		if err := t.fact(strings.Fields(fact)); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", name, fact, err)
		}
	}
	return t, nil
}

// fact stores one "key value …".
func (t *Template) fact(words []string) error {
	switch key, values := words[0], words[1:]; key {
	case "classic":
		t.Classic = true
		return nil
	case "also":
		t.Also = strings.Join(values, " ")
		return nil
	case "period":
		return numbers(values, &t.Period)
	case "moves":
		return numbers(values, &t.DX, &t.DY)
	case "box":
		return numbers(values, &t.Width, &t.Height)
	case "cells":
		return numbers(values, &t.Cells)
	case "grows":
		return numbers(values, &t.Growth)
	case "since":
		return numbers(values, &t.Since)
	case "settles":
		return numbers(values, &t.Settles)
	case "leaves":
		return numbers(values, &t.Leaves)
	}
	return fmt.Errorf("unknown key")
}

// numbers reads exactly one number for each target.
func numbers(values []string, targets ...*int) error {
	if len(values) != len(targets) {
		return fmt.Errorf("%d numbers, want %d", len(values), len(targets))
	}
	for i, v := range values {
		n, err := strconv.Atoi(v)
		if err != nil {
			return err
		}
		*targets[i] = n
	}
	return nil
}

func abs(n int) int { return max(n, -n) }

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
