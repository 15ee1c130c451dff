package module

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sync"

	"gosper/grid"
	"gosper/grid/game"
	"gosper/protocol"
)

const routeGamePattern = "/game/pattern"

// gamePatternFunctions are patterns as text, and the catalogue.
func gamePatternFunctions() []Function {
	return []Function{
		definePattern(Function{Route: routeGamePattern, Gate: "get_pattern_game", Needs: NeedWorld, Class: ClassLook,
			Doc: "With text (RLE, plaintext, Life 1.05, Life 1.06, macrocell), lays it on a grid; replace, for the owner, clears the grid first. " +
				"Without text, reads a grid or a rect of it. Without game, converts text. format is rle, cells, life105 or life106.",
			Example: `{"game":"0123456789","grid":0,"text":"bo$2bo$3o!","x":10,"y":20,"orientation":"identity","policy":"refuse","replace":false}`}),
		define(Function{Route: "/game/templates", Gate: "get_all_template_game", Needs: NeedWorld, Class: ClassRead,
			Doc:     "Lists the catalogue by group: size, cells, period and speed, with the pattern as RLE.",
			Example: `{}`}, gameTemplates),
	}
}

type patternIn struct {
	inGrid
	layIn
	Text    string  `json:"text"`
	Format  string  `json:"format"` // of text in the answer; "": rle
	Replace bool    `json:"replace"`
	Rect    *rectIn `json:"rect"` // what to read; missing: all
}

// patternOut describes a pattern. Text stands there when it was asked for, the place of the edits when it was laid.
type patternOut struct {
	Name       string `json:"name,omitempty"`
	Author     string `json:"author,omitempty"`
	Rule       string `json:"rule,omitempty"` // that the text names
	Width      int32  `json:"width"`
	Height     int32  `json:"height"`
	Cells      int    `json:"cells"`
	Generation uint64 `json:"generation"`
	Text       string `json:"text,omitempty"`
	Format     string `json:"format,omitempty"`
	Seq        uint64 `json:"seq,omitempty"`
	Changed    int    `json:"changed,omitempty"`
}

func newPatternOut(p *grid.Pattern) patternOut {
	out := patternOut{Name: p.Name, Author: p.Author, Width: p.Width, Height: p.Height, Cells: p.Population(), Generation: p.Generation}
	if p.Rule != (grid.Rule{}) {
		out.Rule = p.Rule.String()
	}
	return out
}

// definePattern makes the one function on games that may do without a game.
func definePattern(f Function) Function {
	f.In, f.Out = reflect.TypeFor[patternIn](), reflect.TypeFor[patternOut]()
	f.run = func(t *Tools, c *Call) (any, error) {
		in, err := decode[patternIn](c.Content)
		if err != nil {
			return nil, err
		}
		if in.Game == "" {
			return t.convertPattern(in)
		}
		id, err := t.gameID(in.Game)
		if err != nil {
			return nil, err
		}
		return t.onGame(c, id, in.Text == "", bound{}, func(g *game.Game) (any, error) {
			if in.Text == "" {
				return t.readPattern(c, g, in)
			}
			return t.layPattern(c, g, in)
		})
	}
	return f
}

// convertPattern writes a client's text in another format.
func (t *Tools) convertPattern(in *patternIn) (patternOut, error) {
	if in.Text == "" {
		return patternOut{}, refuse(protocol.StatusMissing, "name a game to read from, or send a text to convert")
	}
	p, err := t.parsePattern(in.Text)
	if err != nil {
		return patternOut{}, err
	}
	return t.writePattern(p, in.Format)
}

// parsePattern reads a client's text within the limits of a request.
func (t *Tools) parsePattern(text string) (*grid.Pattern, error) {
	limits := game.DefaultLimits()
	if t.games != nil {
		limits = t.games.Limits()
	}
	return grid.Parse([]byte(text), grid.PatternLimits{Bytes: t.options.GameText, Cells: limits.CellsRequest, Side: int32(limits.GridSide)})
}

// writePattern answers with a pattern as text.
func (t *Tools) writePattern(p *grid.Pattern, format string) (patternOut, error) {
	f := grid.FormatRLE
	if format != "" {
		var err error
		if f, err = grid.ParseFormat(clip(format)); err != nil {
			return patternOut{}, refuse(protocol.StatusInvalid, err.Error())
		}
	}
	if f == grid.FormatMacrocell {
		return patternOut{}, refuse(protocol.StatusInvalid, "macrocell is read only: use rle, cells, life105 or life106")
	}
	text, err := grid.Append(nil, p, f)
	if err == nil && len(text) > t.options.GameText {
		err = refuse(protocol.StatusTooMuch, fmt.Sprintf("the text would have %d bytes and may have %d: read the grid in parts, with rect", len(text), t.options.GameText))
	}
	out := newPatternOut(p)
	out.Text, out.Format = string(text), f.String()
	return out, err
}

// readPattern answers with what is on a grid.
func (t *Tools) readPattern(c *Call, g *game.Game, in *patternIn) (patternOut, error) {
	p, err := g.Export(c.Context, in.Grid)
	if err != nil {
		return patternOut{}, err
	}
	if in.Rect != nil {
		if p, err = part(p, *in.Rect); err != nil {
			return patternOut{}, err
		}
	}
	return t.writePattern(p, in.Format)
}

// part returns what of p lies in a rectangle.
func part(p *grid.Pattern, rect rectIn) (*grid.Pattern, error) {
	x, y, w, h := rect.X, rect.Y, rect.Width, rect.Height
	if !rect.some() || x >= p.Width || y >= p.Height || w > p.Width-x || h > p.Height-y {
		return nil, refuse(protocol.StatusRange, fmt.Sprintf("rect must lie within the grid of %d by %d cells", p.Width, p.Height))
	}
	q := *p
	q.Width, q.Height, q.Bounds, q.Cells = w, h, grid.Bounds{}, nil
	for _, cell := range p.Cells {
		if cell.X >= x && cell.X-x < w && cell.Y >= y && cell.Y-y < h {
			q.Cells = append(q.Cells, grid.Cell{X: cell.X - x, Y: cell.Y - y, State: cell.State})
		}
	}
	return &q, nil
}

// layPattern puts a client's text on a grid.
func (t *Tools) layPattern(c *Call, g *game.Game, in *patternIn) (patternOut, error) {
	p, err := t.parsePattern(in.Text)
	if err != nil {
		return patternOut{}, err
	}
	e, err := in.stamp(p)
	if err != nil {
		return patternOut{}, err
	}
	var ack game.Ack
	if in.Replace {
		ack, err = g.Import(c.Context, gameUser(&c.Who), in.Grid, e.Orientation.Apply(p), in.X, in.Y)
	} else {
		ack, err = g.EditWait(c.Context, gameUser(&c.Who), in.Grid, e)
	}
	if err != nil {
		return patternOut{}, err
	}
	out := newPatternOut(p)
	out.Seq, out.Changed, out.Generation = ack.Seq, ack.Changed, ack.Generation
	return out, nil
}

// templateOut is a template of the catalogue. Members that say nothing are left out.
type templateOut struct {
	Name    string `json:"name"`
	Also    string `json:"also,omitempty"` // a second name
	Width   int    `json:"width"`          // of the live cells
	Height  int    `json:"height"`
	Cells   int    `json:"cells"`
	Period  int    `json:"period,omitempty"`
	DX      int    `json:"dx,omitempty"` // cells moved in a period
	DY      int    `json:"dy,omitempty"`
	Speed   string `json:"speed,omitempty"`   // "c/4 diagonal"
	Growth  int    `json:"growth,omitempty"`  // cells more after a period
	Settles int    `json:"settles,omitempty"` // generation after which it is quiet
	Classic bool   `json:"classic,omitempty"` // known to the first clients
	RLE     string `json:"rle"`
}

type templateGroupOut struct {
	Name      string        `json:"name"`
	Templates []templateOut `json:"templates"`
}

type templatesOut struct {
	Groups []templateGroupOut `json:"groups"`
}

// catalogueJSON is the answer of /game/templates, which is always the same.
var catalogueJSON = sync.OnceValues(func() (json.RawMessage, error) {
	var out templatesOut
	for _, g := range grid.Catalogue() {
		group := templateGroupOut{Name: g.Name}
		for _, t := range g.Templates {
			group.Templates = append(group.Templates, templateOut{
				Name: t.Name, Also: t.Also, Width: t.Width, Height: t.Height, Cells: t.Cells, Period: t.Period, DX: t.DX, DY: t.DY,
				Speed: t.Speed(), Growth: t.Growth, Settles: t.Settles, Classic: t.Classic, RLE: string(grid.AppendRunLine(nil, t.Pattern)),
			})
		}
		out.Groups = append(out.Groups, group)
	}
	return json.Marshal(out)
})

func gameTemplates(*Tools, *Call, *empty) (json.RawMessage, error) { return catalogueJSON() }
