package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// create makes a game with the form of the lobby and waits until its board stands.
func (p *page) create(name string, fields map[string]string) string {
	p.t.Helper()
	p.click(`#new-game`)
	p.until(`document.querySelector('#create-form [name=name]')`)
	p.set(`#create-form [name=name]`, name)
	for field, value := range fields {
		p.set(`#create-form [name=`+field+`]`, value)
	}
	p.click(`#create-form .primary`)
	p.playing()
	var id string
	p.eval(`return gosper.id`, &id)
	return id
}

// playing waits until a game is shown and follows its grid.
func (p *page) playing() {
	p.t.Helper()
	p.until(`!document.getElementById('game').hidden && gosper.report?.synced`)
	p.still(`#board`)
}

// enter goes from the lobby to a game.
func (p *page) enter(id string) {
	p.t.Helper()
	p.until(`document.querySelector('[data-game="` + id + `"]')`)
	p.click(`[data-game="` + id + `"]`)
	p.playing()
}

// report is what the page knows of its grid.
type report struct {
	Generation, Population, Mismatches, Asked int
	Hash                                      string
	Synced                                    bool
}

func (p *page) report() (r report) {
	p.t.Helper()
	p.eval(`return gosper.report`, &r)
	return r
}

// take chooses a pattern of the open palette.
func (p *page) take(name string) {
	p.t.Helper()
	button := `[...document.querySelectorAll('.template')].find((b) => b.textContent === ` + quote(name) + `)`
	p.until(button)
	p.eval(button+`.click()`, nil)
}

// record makes the page note its hash at every generation that it is told of, in `hashes`, however few it has time to draw.
func (p *page) record() {
	p.t.Helper()
	p.eval(`
		window.hashes = {};
		const look = () => { const r = gosper.report; if (r) hashes[r.generation] = r.hash; };
		new MutationObserver(look).observe(document.getElementById('hash'), { childList: true });
		look();`, nil)
}

// at is the place in the window of the middle of a cell of the board.
func (p *page) at(x, y int) (float64, float64) {
	p.t.Helper()
	var place [2]float64
	p.eval(fmt.Sprintf(`
		await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next))); // a new size of the board is seen
		return gosper.placeOf(%d, %d)`, x, y), &place)
	return place[0], place[1]
}

// mouse does one thing with the left button over a cell.
func (p *page) mouse(kind input.MouseType, x, y int) {
	p.t.Helper()
	px, py := p.at(x, y)
	p.run(chromedp.MouseEvent(kind, px, py, chromedp.ButtonLeft))
}

// alive is the text of the page's live cells as x,y words.
func (p *page) alive() string {
	p.t.Helper()
	var cells []string
	p.eval(`const cells = []; gosper.grid.each((x, y) => cells.push(x + ',' + y)); return cells`, &cells)
	return strings.Join(cells, " ")
}

// Goal: the scene. Two pages join one game, one lays a glider gun from the palette, a phone on the line door draws,
// and all see the same. Method: mouse and palette as a player uses them; the pages' hashes of many generations.
func TestPlayTogether(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ada := s.guest("Ada", "")
	id := ada.create("pond", map[string]string{"width": "128", "height": "96", "interval": "50"})
	bob := s.guest("Bob", "")
	bob.enter(id)
	ada.until(`document.getElementById('player-count').textContent === '2'`)

	ada.click(`[data-drawer=patterns]`)
	ada.take("Gosper glider gun")
	ada.mouse(input.MousePressed, 30, 20)
	ada.mouse(input.MouseReleased, 30, 20)
	ada.until(`gosper.report.population === 36`)
	bob.until(`gosper.report.population === 36`)

	ada.record()
	bob.record()
	bob.click(`#run`)
	ada.until(`gosper.report.generation > 40`)
	kai := s.phone("0", "Kai", "")
	kai.say(`000000CALL{"route":"/game/join","msgId":1,"content":{"game":"` + id + `"}}`)
	kai.until("00000REPLY")
	kai.say("000000EDIT" + id + "/0 100,80 2o$2o!")
	_, edited, _ := strings.Cut(kai.until("000000EDIT"+id+"/0 "), " ") // the generation that has a hash before and one after
	for _, p := range []*page{ada, bob} {
		p.until(`gosper.grid.alive(100, 80) && gosper.grid.alive(101, 81)`)
	}
	bob.click(`#run`)
	for _, p := range []*page{ada, bob} {
		p.until(`document.getElementById('run').textContent === 'Start'`)
	}
	agree(t, ada, bob)
	a, b := ada.report(), bob.report()
	if a != b || a.Mismatches != 0 || a.Asked != 0 {
		t.Errorf("the pages differ: %+v, %+v", a, b)
	}
	var left, right map[string]string
	ada.eval(`return hashes`, &left)
	bob.eval(`return hashes`, &right)
	same := 0
	for generation, hash := range left {
		switch {
		case right[generation] == hash:
			same++
		case right[generation] != "" && generation != edited:
			t.Errorf("generation %s: %s and %s", generation, hash, right[generation])
		}
	}
	if same < 20 {
		t.Errorf("only %d generations compared", same)
	}
	if ada.alive() != bob.alive() {
		t.Error("other cells")
	}
}
