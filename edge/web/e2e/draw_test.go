package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// drag draws from one cell to another with the left button.
func (p *page) drag(x0, y0, x1, y1 int) {
	p.t.Helper()
	p.mouse(input.MousePressed, x0, y0)
	p.mouse(input.MouseMoved, x1, y1)
	p.mouse(input.MouseReleased, x1, y1)
}

// noted waits until the note of the board begins with a text.
func (p *page) noted(text string) {
	p.t.Helper()
	p.until(`document.getElementById('board-note').textContent.startsWith(` + quote(text) + `)`)
}

// press presses keys on the board.
func (p *page) press(keys string) {
	p.t.Helper()
	p.run(chromedp.Focus(`#board`, chromedp.ByQuery), chromedp.KeyEvent(keys))
}

// Goal: all ways to draw change the cells that they show. Method: a line and a rubber by mouse, a pattern turned and dragged
// from the palette, a pattern pasted, dropped and refused; the node's own grid is the judge, seen from a second page.
func TestDraw(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.guest("Ada", "")
	id := p.create("paper", map[string]string{"width": "64", "height": "48"})
	judge := s.guest("Jo", "")
	judge.enter(id)
	wait := func(what, cells string) {
		t.Helper()
		t.Log(what)
		for _, page := range []*page{p, judge} {
			page.until(`(() => { const cells = []; gosper.grid.each((x, y) => cells.push(x + ',' + y)); return cells.join(' '); })() === ` + quote(cells))
		}
	}

	p.drag(10, 10, 14, 10)
	wait("a line", "10,10 11,10 12,10 13,10 14,10")
	p.click(`[data-tool=erase]`)
	p.drag(9, 10, 12, 10)
	wait("a rubber", "13,10 14,10")
	p.drag(13, 10, 14, 10)
	wait("all of it", "")

	p.click(`[data-drawer=patterns]`)
	p.until(`document.querySelector('.template')`)
	p.eval(`document.getElementById('group').value = 'Spaceships'; document.getElementById('group').dispatchEvent(new Event('change'))`, nil)
	var from [2]float64
	p.eval(`
		const button = [...document.querySelectorAll('.template')].find((b) => b.textContent === 'Glider');
		button.scrollIntoView();
		await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
		const box = button.getBoundingClientRect();
		return [box.left + 20, box.top + 20]`, &from)
	p.run(chromedp.MouseEvent(input.MousePressed, from[0], from[1], chromedp.ButtonLeft))
	p.mouse(input.MouseMoved, 30, 20)
	p.mouse(input.MouseReleased, 30, 20)
	wait("a glider dragged onto the board", "30,19 31,20 29,21 30,21 31,21")
	p.mouse(input.MousePressed, 30, 20)
	p.mouse(input.MouseReleased, 30, 20)
	p.noted("cell (30, 19): a live cell is in the way")
	p.click(`#rotate`)
	p.mouse(input.MousePressed, 40, 20)
	p.mouse(input.MouseReleased, 40, 20)
	wait("another one, turned", "30,19 39,19 31,20 39,20 41,20 29,21 30,21 31,21 39,21 40,21")

	p.eval(`
		const paste = new DataTransfer();
		paste.setData('text', 'x = 3, y = 1\n3o!');
		dispatchEvent(Object.assign(new Event('paste'), { clipboardData: paste }));`, nil)
	p.noted("pattern, 3 by 1")
	p.press(kb.Escape)
	p.eval(`
		const files = new DataTransfer();
		files.items.add(new File(['!Name: Tub\n.O.\nO.O\n.O.\n'], 'tub.cells'));
		const [clientX, clientY] = gosper.placeOf(10, 30);
		document.getElementById('board').dispatchEvent(new DragEvent('drop', { dataTransfer: files, bubbles: true, clientX, clientY }));`, nil)
	p.noted("Tub, 3 by 3")
	p.mouse(input.MousePressed, 10, 30)
	p.mouse(input.MouseReleased, 10, 30)
	wait("a file in another format", "30,19 39,19 31,20 39,20 41,20 29,21 30,21 31,21 39,21 40,21 10,29 9,30 11,30 10,31")
	p.eval(`
		const bad = new DataTransfer();
		bad.setData('text', 'no pattern at all');
		dispatchEvent(Object.assign(new Event('paste'), { clipboardData: bad }));`, nil)
	p.until(`/RLE|pattern|line/.test(document.getElementById('board-note').textContent)`)

	var saved string
	p.eval(`
		const made = new Promise((done) => { URL.createObjectURL = (blob) => { done(blob.text()); return '#'; }; });
		document.querySelector('[data-drawer=more]').click();
		while (!document.getElementById('save')) await new Promise((next) => setTimeout(next, 10));
		document.getElementById('save').click();
		return await made`, &saved)
	if !strings.Contains(saved, "#N paper\n") || !strings.Contains(saved, "rule = B3/S23:T64,48\n") || !strings.HasSuffix(saved, "!\n") {
		t.Errorf("saved: %s", saved)
	}
	p.eval(fmt.Sprintf(`
		const { parseRLE } = await import('/patterns.js');
		const again = parseRLE(%s).cells.length;
		if (again !== gosper.report.population) throw new Error('saved ' + again);`, quote(saved)), nil)
}

// Goal: a game can be played by keys alone, and says what happens. Method: cursor, Space, start, step, tools and patterns by
// keys; the note, which is a live region, is read.
func TestPlayKeyboard(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.guest("Kim", "")
	p.create("keys", map[string]string{"width": "40", "height": "30"})
	p.until(`document.activeElement.id === 'board'`)
	p.press(kb.ArrowLeft)
	p.noted("Column 19, row 15: empty")
	p.press(" ")
	p.noted("Column 19, row 15: alive, of Kim")
	p.press(kb.ArrowRight + " " + kb.ArrowRight + " ")
	p.until(`gosper.report.population === 3`)
	p.press("n")
	p.until(`gosper.report.generation === 1 && gosper.grid.alive(20, 14) && gosper.grid.alive(20, 16)`)
	p.press("p")
	p.until(`document.getElementById('run').textContent === 'Pause' && gosper.report.generation > 3`)
	p.press("p")
	p.until(`document.getElementById('run').textContent === 'Start'`)
	p.press("t")
	p.until(`document.querySelector('.template') && document.querySelector('[data-drawer=patterns]').getAttribute('aria-expanded') === 'true'`)
	p.run(chromedp.Focus(`.template`, chromedp.ByQuery), chromedp.KeyEvent(kb.Enter))
	p.until(`!document.getElementById('rotate').hidden`)
	p.press("r")
	p.press(kb.Escape)
	p.until(`document.getElementById('rotate').hidden`)
	p.press("e")
	p.until(`document.querySelector('[data-tool=erase]').getAttribute('aria-pressed') === 'true'`)
	p.run(chromedp.KeyEvent(kb.Tab)) // the board lets go of the focus
	p.until(`document.activeElement.id === 'zoom-in'`)
}
