package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// agree waits until pages show their grid, paused, as the node has it: a page may read of the pause before it has the last frames.
func agree(t *testing.T, pages ...*page) (seen report) {
	t.Helper()
	eventually(t, "the pages show what the node has", func() bool {
		var node struct {
			Generation int
			Grids      []struct{ Hash string }
		}
		pages[0].eval(`
			const { ask } = await import('/play.js');
			return await ask('/game/stats')`, &node)
		if len(node.Grids) == 0 {
			return false // it moves to another node
		}
		for _, p := range pages {
			seen = p.report()
			if !seen.Synced || seen.Generation != node.Generation || seen.Hash != node.Grids[0].Hash {
				return false
			}
		}
		return true
	})
	return seen
}

// Goal: a kill -9 of the server costs a game a moment. Method: a running game with a gun is watched by two pages, one of which
// computes by itself; the server is killed and comes back, twice; every cell that was drawn is there, the game runs on,
// and drawing goes on.
func TestPlayKill(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ada := s.guest("Ada", "", brokenLink...)
	id := ada.create("phoenix", map[string]string{"width": "128", "height": "96", "interval": "50"})
	bob := s.guest("Bob", "", brokenLink...)
	bob.enter(id)
	bob.click(`[data-drawer=more]`)
	bob.click(`#computes`)
	bob.click(`[data-drawer=more]`)
	ada.click(`#run`)
	for round := range 2 {
		ada.eval(fmt.Sprintf(`await gosper.draw([[%d, 90], [%d, 91], [%d, 90], [%d, 91]])`, 10*round, 10*round, 10*round+1, 10*round+1), nil)
		at := ada.report().Generation
		ada.until(fmt.Sprintf(`gosper.report.generation > %d`, at+10))
		s.kill()
		for _, p := range []*page{ada, bob} {
			p.until(`['waiting', 'connecting'].includes(document.getElementById('state').dataset.state)`)
		}
		s.start()
		for _, p := range []*page{ada, bob} {
			p.until(`document.getElementById('state').dataset.state === 'open' && gosper.report?.synced`)
			p.until(fmt.Sprintf(`gosper.report.generation > %d`, at+10))
			p.until(fmt.Sprintf(`gosper.grid.alive(%d, 91)`, 10*round+1))
		}
	}
	bob.until(`document.getElementById('run').textContent === 'Pause'`)
	bob.click(`#run`)
	for _, p := range []*page{ada, bob} {
		p.until(`document.getElementById('run').textContent === 'Start'`)
	}
	if r := agree(t, ada, bob); r.Population != 8 {
		t.Errorf("%+v", r)
	}
	for _, p := range []*page{ada, bob} {
		if r := p.report(); r.Mismatches != 0 {
			t.Errorf("hashes did not agree: %+v", r)
		}
	}
}

// Goal: a page that computes by itself shows what the others see. Method: a soup runs, one page computes, the other gets every
// generation and draws; then both stand still and are compared.
func TestComputes(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ada := s.guest("Ada", "")
	id := ada.create("soup", map[string]string{"width": "100", "height": "70", "interval": "50"})
	bob := s.guest("Bob", "")
	bob.run(chromedp.Evaluate(`localStorage.setItem('gosper.mode', 'edits')`, nil))
	bob.enter(id)
	ada.eval(`
		const cells = [];
		for (let n = 0; n < 1200; n++) cells.push([Math.floor(Math.random() * 60), Math.floor(Math.random() * 60)]);
		await gosper.draw(cells.slice(0, 600));
		await gosper.draw(cells.slice(600));`, nil)
	ada.click(`#run`)
	bob.until(`gosper.report.generation > 30`)
	for n := range 5 {
		ada.eval(fmt.Sprintf(`await gosper.draw([[%d, 65], [%d, 66], [%d, 65], [%d, 66]])`, 10*n+5, 10*n+5, 10*n+6, 10*n+6), nil)
	}
	from := bob.report().Generation
	bob.until(fmt.Sprintf(`gosper.report.generation > %d`, from+60))
	ada.click(`#run`)
	for _, p := range []*page{ada, bob} {
		p.until(`document.getElementById('run').textContent === 'Start'`)
	}
	paused := agree(t, ada, bob).Generation
	ada.click(`#step`)
	ada.until(fmt.Sprintf(`gosper.report.generation === %d`, paused+1))
	agree(t, ada, bob)
	if r := bob.report(); r.Mismatches != 0 {
		t.Errorf("the page that computes: %+v", r)
	}
	if ada.alive() != bob.alive() {
		t.Error("other cells")
	}
}

// Goal: a game can be looked at as it was, and taken back. Method: two generations are stepped and drawn on, the slider shows
// the first, the game is rewound to it, and a second page sees that.
func TestPast(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.guest("Ada", "")
	id := p.create("past", map[string]string{"width": "64", "height": "64"})
	other := s.guest("Bob", "")
	other.enter(id)
	p.eval(`await gosper.draw([[10, 10], [11, 10], [12, 10]])`, nil)
	p.click(`#step`)
	p.until(`gosper.report.generation === 1`)
	p.eval(`await gosper.draw([[40, 40], [41, 40], [40, 41], [41, 41]])`, nil)
	p.click(`#step`)
	p.until(`gosper.report.generation === 2 && gosper.report.population === 7`)
	p.click(`[data-drawer=past]`)
	p.until(`document.getElementById('when')?.max === '2'`)
	p.eval(`document.getElementById('when').value = 1; document.getElementById('when').dispatchEvent(new Event('change'))`, nil)
	p.until(`document.getElementById('generation').textContent === '1' && !document.getElementById('rewind').disabled`)
	p.click(`#now`)
	p.until(`document.getElementById('generation').textContent === '2'`)
	p.eval(`document.getElementById('when').value = 0; document.getElementById('when').dispatchEvent(new Event('change'))`, nil)
	p.until(`document.getElementById('generation').textContent === '0'`)
	p.click(`#rewind`)
	p.until(`document.getElementById('rewind').textContent === 'Forget all after it?'`)
	p.click(`#rewind`)
	for _, page := range []*page{p, other} {
		page.until(`gosper.report?.synced && gosper.report.generation === 0`)
	}
	agree(t, p, other)
}

// Goal: a game has several boards with rules of their own, and its owner can stop it for all. Method: three grids are put into the
// form and one is taken out again; a second player draws on the second grid; a stop ends drawing until the owner starts again.
func TestGrids(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ada := s.guest("Ada", "")
	ada.click(`#new-game`)
	ada.until(`document.querySelector('#create-form [name=name]')`)
	ada.set(`#create-form [name=name]`, "two worlds")
	ada.set(`#create-form [name=width]`, "48")
	ada.click(`#add-grid`)
	ada.until(`document.activeElement.closest('fieldset')?.textContent.includes('Grid 2')`)
	ada.click(`#add-grid`)
	ada.eval(`
		const [first, second, third] = document.querySelectorAll('#create-grids fieldset');
		if (third.querySelector('[name=width]').value !== '48') throw new Error('a grid begins like the last one');
		second.querySelector('[name=rule]').value = 'B36/S23';
		second.querySelector('[name=height]').value = '20';
		second.querySelector('[name=topology]').value = 'plane';
		second.querySelector('[name=mode]').value = 'blended';
		third.querySelector('.remove').click();`, nil)
	ada.click(`#create-form .primary`)
	ada.playing()
	var id string
	ada.eval(`return gosper.id`, &id)
	bob := s.guest("Bob", "")
	bob.until(`document.querySelector('.line-game')?.textContent.includes('2 grids')`)
	bob.enter(id)
	bob.eval(`const choice = document.getElementById('grid-choice'); choice.selectedIndex = 1; choice.dispatchEvent(new Event('change'))`, nil)
	bob.until(`gosper.report?.synced && gosper.grid.height === 20 && !gosper.grid.torus`)
	bob.eval(`await gosper.draw([[3, 3], [4, 3], [5, 3]])`, nil)
	bob.until(`gosper.report.population === 3`)
	if r := ada.report(); r.Population != 0 {
		t.Errorf("the first grid has %d cells", r.Population)
	}

	ada.click(`[data-drawer=more]`)
	ada.click(`#stop`)
	bob.until(`document.querySelector('[data-tool=draw]').disabled && document.getElementById('run').disabled`)
	bob.click(`[data-drawer=more]`)
	bob.until(`document.getElementById('stop')?.hidden && document.getElementById('game-facts').textContent === '48 × 20, plane, B36/S23, blended, stopped'`)
	ada.click(`#run`)
	bob.until(`!document.querySelector('[data-tool=draw]').disabled && gosper.report.generation > 2`)
	if r := bob.report(); r.Mismatches != 0 || r.Asked != 0 {
		t.Errorf("%+v", r)
	}
}

// Goal: a link leads a newcomer into the game, and out again. Method: open it in a fresh browser, play as a guest, reload, take
// a colour, leave; then the owner leaves, and the game passes on.
func TestShareLink(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ada := s.guest("Ada", "")
	id := ada.create("open house", nil)
	ada.run(chromedp.Evaluate(`navigator.clipboard.writeText = async (text) => { window.copied = text; }`, nil))
	ada.click(`#share`)
	ada.until(`window.copied`)
	var link string
	ada.eval(`return copied`, &link)
	if link != strings.TrimSuffix(s.url(), "/")+"/?game="+id {
		t.Fatalf("link %s", link)
	}
	bob := newPage(t)
	bob.run(chromedp.Navigate(link))
	bob.until(`document.getElementById('state').dataset.state === 'open'`)
	bob.click(`#guest-form button`)
	bob.on("enter")
	bob.set(`#enter-form [name=name]`, "Bob")
	bob.click(`#enter-form .primary`)
	bob.playing()
	bob.run(chromedp.Reload())
	bob.playing()
	bob.click(`[data-drawer=players]`)
	bob.until(`document.getElementById('color')`)
	bob.eval(`document.getElementById('color').value = '#123456'; document.getElementById('color').dispatchEvent(new Event('change'))`, nil)
	ada.click(`[data-drawer=players]`)
	ada.until(`document.getElementById('players')?.textContent.includes('Bob')`)
	bob.until(`document.getElementById('color').value === '#123456'`)

	ada.click(`[data-drawer=more]`)
	ada.click(`#leave-game`)
	ada.until(`!document.getElementById('lobby').hidden && location.search === ''`)
	bob.noted("The game is yours now.")
	bob.until(`!document.getElementById('speed').disabled`)
	bob.click(`[data-drawer=more]`)
	bob.click(`#end-game`)
	bob.until(`document.getElementById('end-game').textContent === 'End it for all?'`)
	bob.click(`#end-game`)
	bob.until(`document.getElementById('lobby-note').textContent === 'The game has ended.'`)

	gone := s.guest("Gus", "")
	gone.run(chromedp.Navigate(link))
	gone.until(`document.getElementById('lobby-note').textContent.includes('no such game')`)
}

// other is JavaScript that makes `other`, a connection beside that of the page, of a guest of its own.
func other(name string) string {
	return `
		const { Connection } = await import('/gosper.js');
		const other = new Connection();
		other.open();
		await other.ready();
		other.clientCode = (await other.call('/user/clientCode')).clientCode;
		await other.call('/user/loginUnique', { unique_id: '0123456789abcdef0123456789abcdef' });
		await other.call('/user/enterWorld', { world: '0', name: ` + quote(name) + ` });`
}

// yardstick is the time of a fixed piece of work in the page on a machine at rest, in milliseconds.
const yardstick = 4.0

// Goal: a large board stays smooth. Method: a soup of 1024 by 1024 cells runs at 10 generations a second while the view moves
// at every frame; the time that the page itself spends on a frame is measured, and that of a fixed piece of work between
// frames, which tells how slow the machine is.
func TestSmooth(t *testing.T) {
	if testing.Short() {
		t.Skip("measures")
	}
	s := newServer(t)
	p := s.guest("Ada", "")
	id := p.create("ocean", map[string]string{"width": "1024", "height": "1024", "interval": "125"})
	p.eval(other("Max")+`
		const { formatRLE } = await import('/patterns.js');
		await other.call('/game/join', { game: `+quote(id)+` });
		for (let y = 0; y < 1024; y += 64) {
			const cells = [];
			for (let n = 0; n < 65536; n++) if (Math.random() < 0.3) cells.push([n % 1024, Math.floor(n / 1024)]);
			for (const pattern = { game: `+quote(id)+`, grid: 0, x: 0, y, text: formatRLE(cells) };;) {
				try {
					await other.call('/game/pattern', pattern);
					break;
				} catch (refused) {
					if (refused.status !== 1010) throw refused;
					await new Promise((next) => setTimeout(next, 250)); // too many edits a second: as the node says, slow down
				}
			}
		}
		other.close();`, nil)
	p.until(`gosper.report.population > 250000`)
	p.click(`#run`)
	p.until(`gosper.report.generation > 10`)
	var spent struct{ Median, P99, Frames, Stalls, Work float64 }
	p.eval(`
		const spent = [], works = [];
		const numbers = new Uint32Array(1 << 18);
		const work = () => {
			const from = performance.now();
			for (let round = 0; round < 16; round++) {
				for (let n = 0; n < numbers.length; n++) numbers[n] = Math.imul(numbers[n] ^ n, 0x9e3779b1) >>> 1;
			}
			works.push(performance.now() - from);
		};
		const ask = requestAnimationFrame;
		window.requestAnimationFrame = (draw) => ask((now) => { const from = performance.now(); draw(now); spent.push(performance.now() - from); });
		let stalls = 0;
		new PerformanceObserver((list) => { stalls += list.getEntries().length; }).observe({ entryTypes: ['longtask'] });
		const board = document.getElementById('board');
		const end = performance.now() + 3000;
		let frames = 0;
		for (let n = 0; performance.now() < end; n++) {
			board.dispatchEvent(new WheelEvent('wheel', { deltaY: n % 40 < 20 ? -40 : 40, clientX: 300, clientY: 300 }));
			await new Promise((next) => ask(next));
			frames++;
			work();
		}
		for (const list of [spent, works]) list.sort((a, b) => a - b);
		return { work: works[works.length >> 1], median: spent[spent.length >> 1], p99: spent[Math.floor(spent.length * 0.99)], frames: frames / 3, stalls };`, &spent)
	t.Logf("a frame of the page: median %.1f ms, p99 %.1f ms; %.0f frames a second, %.0f tasks above 50 ms", spent.Median, spent.P99, spent.Frames, spent.Stalls)
	t.Logf("a fixed piece of work: median %.1f ms, %.1f ms on a machine at rest", spent.Work, yardstick)
	if most := 8 * max(1, spent.Work/yardstick); spent.Median > most {
		t.Errorf("a frame takes %.1f ms and may take %.1f", spent.Median, most)
	}
}

// Goal: a board too large for any picture can be played on. Method: a game of 16,384 by 16,384 cells; cells are drawn in the part
// in sight, the view is moved far and back.
func TestLargeBoard(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.guest("Ada", "")
	var id string
	p.eval(other("Max")+`
		const { game } = await other.call('/game/create', { name: 'space', interval: 100, persistent: true, grids: [{ width: 16384, height: 16384 }] });
		await other.call('/game/cells', { game: game.id, grid: 0, cells: [[6100, 6100], [6101, 6100], [6100, 6101], [6101, 6101]] });
		return game.id`, &id)
	p.enter(id)
	p.eval(`await gosper.draw([[8200, 8200], [8201, 8200], [8202, 8200]])`, nil)
	p.until(`gosper.report.population === 3`)
	p.click(`#run`)
	p.until(`gosper.report.generation > 5 && gosper.report.population === 3`)
	p.eval(`
		const board = document.getElementById('board');
		for (let n = 0; n < 7; n++) {
			board.focus();
			for (const key of ['ArrowLeft', 'ArrowUp']) {
				for (let k = 0; k < 40; k++) board.dispatchEvent(new KeyboardEvent('keydown', { key, shiftKey: true, bubbles: true }));
			}
			await new Promise((next) => setTimeout(next, 50));
		}`, nil)
	p.until(`gosper.report.synced && gosper.grid.alive(6100, 6100) && gosper.report.population === 4`)
	if r := p.report(); r.Mismatches != 0 || r.Asked != 0 {
		t.Errorf("%+v", r)
	}
}
