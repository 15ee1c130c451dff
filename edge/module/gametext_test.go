package module

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"gosper/grid"
	"gosper/protocol"
)

// Goal: a picture of the past is a frame that clients can read. Method: decode it and compare its hash with the header.
func TestLookIsAFrame(t *testing.T) {
	r := newRig(t, nil)
	p := r.play("0", "Ann", "")
	id := p.newGame()
	p.must("/game/template", on(id, `,"name":"Glider","x":5,"y":5`), nil)
	p.must("/game/step", on(id, `,"generations":8`), nil)
	reply := p.call("/game/look", on(id, `,"generation":4`))
	var out struct{ Hash, Frame string }
	if err := json.Unmarshal(reply.Content, &out); err != nil {
		t.Fatal(err)
	}
	frame, err := base64.StdEncoding.DecodeString(out.Frame)
	if err != nil {
		t.Fatal(err)
	}
	head, payload, err := protocol.ParseGridHeader(frame)
	if err != nil || head.Generation != 4 || hashText(head.Hash) != out.Hash {
		t.Fatalf("%+v, %v", head, err)
	}
	options, err := grid.SnapshotOptions(payload)
	if err != nil {
		t.Fatal(err)
	}
	g, err := grid.New(options, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.ApplySnapshot(payload); err != nil || g.Population() != 5 || g.Hash() != head.Hash {
		t.Errorf("population %d, %v", g.Population(), err)
	}
}

// Goal: what is too large to send is refused with figures and a way out. Method: a small limit, then a part.
func TestPatternTextLimit(t *testing.T) {
	r := newRig(t, func(o *Options) { o.GameText = 100 })
	p := r.play("0", "Ann", "")
	id := p.newGame()
	for i := range 10 {
		p.must("/game/cells", on(id, fmt.Sprintf(`,"cells":[[%d,1],[%d,5],[%d,9],[%d,20]]`, 6*i, 6*i+1, 6*i+2, 6*i)), nil)
	}
	reply := p.call("/game/pattern", on(id, ""))
	if reply.Status != protocol.StatusTooMuch || !strings.Contains(reply.Message, "may have 100") {
		t.Errorf("%d %s", reply.Status, reply.Message)
	}
	p.must("/game/pattern", on(id, `,"rect":{"x":0,"y":0,"width":20,"height":10}`), nil)
	if reply := p.call("/game/pattern", on(id, `,"text":"`+strings.Repeat("bo", 60)+`!"`)); reply.Status != protocol.StatusTooMuch {
		t.Errorf("import: %d %s", reply.Status, reply.Message)
	}
}

// Goal: the list comes in pages, in order and whole, and one's own games can be asked for alone. Method: pages of two.
func TestGameList(t *testing.T) {
	r := newRig(t, func(o *Options) { o.GamePage = 2 })
	ann, ben := r.play("0", "Ann", ""), r.play("0", "Ben", "")
	mine := []string{ann.newGame(), ben.newGame(), ann.newGame(), ben.newGame(), ann.newGame()}
	read := func(more string) (ids []string) {
		after := ""
		for {
			var page gameListOut
			ann.must("/game/list", fmt.Sprintf(`{"after":%q%s}`, after, more), &page)
			for _, g := range page.Games {
				ids = append(ids, g.ID.String())
			}
			if after = page.Next; after == "" {
				return ids
			}
		}
	}
	all := read("")
	if len(all) != 5 || !isSorted(all) {
		t.Errorf("all: %v", all)
	}
	own := read(`,"mine":true`)
	if len(own) != 3 || !isSorted(own) || !strings.Contains(fmt.Sprint(own), mine[0]) || strings.Contains(fmt.Sprint(own), mine[1]) {
		t.Errorf("mine: %v of %v", own, mine)
	}
}

func isSorted(ids []string) bool {
	for i := 1; i < len(ids); i++ {
		if ids[i-1] >= ids[i] {
			return false
		}
	}
	return true
}

// Goal: the catalogue has what older clients know, with facts and a pattern that can be laid. Method: every template.
func TestTemplates(t *testing.T) {
	r := newRig(t, nil)
	p := r.play("0", "Ann", "")
	var out templatesOut
	p.must("/game/templates", `{}`, &out)
	classic := 0
	for _, group := range out.Groups {
		for _, template := range group.Templates {
			if template.Classic {
				classic++
			}
			if laid, err := grid.ParseRLE([]byte(template.RLE), grid.PatternLimits{}); err != nil || laid.Population() != template.Cells {
				t.Errorf("%s: %v, %d cells", template.Name, err, template.Cells)
			}
		}
	}
	if len(out.Groups) < 3 || classic != 12 {
		t.Errorf("%d groups, %d classic templates", len(out.Groups), classic)
	}
}
