package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"gosper/edge/web"
)

// Goal: every screen fits a narrow phone, every control is large enough for a thumb and has a name, and text can be
// read in light and dark. Method: show each screen at 360 pixels and measure; the contrast is that of WCAG AA.
func TestEveryScreen(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.guest("Ada", "foxes")
	bob := s.guest("a-name-of-32-letters-without-gaps"[:32], "")
	for range 10 {
		bob.mail("Ada", "a-subject-without-any-place-to-break-it-anywhere", "text", "", "1")
	}
	p.unread("10")
	p.say("world", "a-word-without-any-place-to-break-it-"+fmt.Sprintf("%080d", 7))
	p.heard("world", "a-word-without-any-place-to-break-it-"+fmt.Sprintf("%080d", 7))
	p.create("a game with a long name, 32 long", nil)
	p.eval(`document.getElementById('to-login').click()`, nil) // loads the screens of accounts
	p.on("login")
	for _, scheme := range []string{"light", "dark"} {
		p.view(360, 640, scheme)
		for _, screen := range []string{"back", "welcome", "login", "register", "forgot", "code", "password", "enter", "talk",
			"talk patterns", "talk build", "talk players", "talk past", "talk more",
			"talk social mail", "talk social friends", "talk social family", "talk social gifts", "talk social news", "talk lobby", "talk lobby form"} {
			name, part, _ := strings.Cut(screen, " ")
			switch part {
			case "":
			case "lobby":
				p.click(`#social-close`)
				p.click(`#to-lobby`)
				p.until(`document.querySelector('.line-game')`)
			case "lobby form":
				p.click(`#new-game`)
				p.until(`!document.getElementById('create-form').hidden`)
			case "social mail", "social friends", "social family", "social gifts", "social news":
				p.social(strings.TrimPrefix(part, "social "))
			default:
				p.click(`[data-drawer=` + part + `]`)
				p.until(`!document.getElementById('` + part + `-drawer').hidden && document.getElementById('` + part + `-drawer').children.length && (` + quote(part) + ` !== 'patterns' || document.querySelector('.template'))`)
			}
			var faults []string
			p.eval(`
				const { show } = await import('/screens.js');
				show(`+quote(name)+`);
				await document.fonts.ready;
				await Promise.all(document.getAnimations().filter((a) => a.effect.getComputedTiming().iterations === 1).map((a) => a.finished));
				const faults = [];
				const root = document.documentElement;
				if (root.scrollWidth > 360) faults.push('scrolls sideways: ' + root.scrollWidth);
				const visible = (e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest('.visually-hidden');
				for (const control of document.querySelectorAll('button, input, textarea, summary, select')) {
					if (!visible(control)) continue;
					const box = control.getBoundingClientRect();
					const name = control.getAttribute('aria-label') || control.textContent.trim() || control.labels?.[0]?.textContent;
					if (!name) faults.push('no name: ' + control.outerHTML);
					if (control.closest('.templates')) continue;
					if (box.right > 360 || box.left < 0) faults.push('out of sight: ' + control.outerHTML);
					if (box.height < 32 && !control.matches('.link')) faults.push('too small for a thumb: ' + control.outerHTML + box.height);
				}
				const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
				const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
					.reduce((sum, c, n) => sum + c * [.2126, .7152, .0722][n], 0);
				const ground = (element) => {
					for (let e = element; e; e = e.parentElement) {
						const colour = numbers(getComputedStyle(e).backgroundColor);
						if ((colour[3] ?? 1) > .8) return colour;
					}
					return [255, 255, 255];
				};
				for (const element of document.querySelectorAll('h1, h2, p, label, button, span, time, li, b, dt, dd, output, option')) {
					if (!visible(element) || ![...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
					const [a, b] = [light(numbers(getComputedStyle(element).color)), light(ground(element))];
					const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
					if (ratio < 4.5) faults.push('contrast ' + ratio.toFixed(2) + ': ' + element.outerHTML.slice(0, 120));
				}
				return faults;`, &faults)
			for _, fault := range faults {
				t.Errorf("%s, %s: %s", screen, scheme, fault)
			}
		}
		p.click(`#new-game`)
		p.until(`document.getElementById('create-form').hidden`) // the list moves up
		p.click(`.line-game`)
		p.playing()
	}
}

// Bounds of the page in bytes. The first is what a visitor loads before anything is clicked: index.html, its style sheet and icon,
// and every module that is imported statically from there, which is all it takes to open a game and play. The second is
// every file of the page, with all that is loaded when it is wanted.
const (
	mostToPlay = 100 << 10
	mostInAll  = 190 << 10 // 160 until mail, friends, families and gifts came, which are loaded when their tabs are opened
	mostSent   = 80 << 10  // of all files, with gzip, which all browsers take; 64 until then
)

// Goal: the page is small. Method: follow the static imports from index.html and add up the files as they are written; add up
// all files, as they are written and as they are sent.
func TestSmall(t *testing.T) {
	play := map[string]int{}
	follow(t, "index.html", play)
	toPlay, written, sent := 0, 0, 0
	for _, size := range play {
		toPlay += size
	}
	files, err := fs.ReadDir(web.FS, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text := source(t, f.Name())
		var packed bytes.Buffer
		w, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
		_, _ = w.Write(text) // to memory
		_ = w.Close()
		written += len(text)
		sent += packed.Len()
	}
	t.Logf("%d files with %d bytes to play; %d files with %d bytes in all, %d sent", len(play), toPlay, len(files), written, sent)
	if len(play) < 10 || toPlay > mostToPlay || written > mostInAll || sent > mostSent {
		t.Errorf("want at most %d bytes to play, %d in all, %d sent", mostToPlay, mostInAll, mostSent)
	}
}

var (
	linked   = regexp.MustCompile(`(?:href|src)="/([\w.]+)"`)
	imported = regexp.MustCompile(`(?m)^(?:import|export)\b[^;]*?'/([\w.]+)';`)
)

// follow notes the size of a file and of all that it cannot do without.
func follow(t *testing.T, name string, sizes map[string]int) {
	t.Helper()
	if _, known := sizes[name]; known {
		return
	}
	text := source(t, name)
	sizes[name] = len(text)
	pattern := imported
	if strings.HasSuffix(name, ".html") {
		pattern = linked
	}
	for _, match := range pattern.FindAllSubmatch(text, -1) {
		follow(t, string(match[1]), sizes)
	}
}

func source(t *testing.T, name string) []byte {
	t.Helper()
	text, err := fs.ReadFile(web.FS, name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Goal: whoever asked for less motion gets a still picture. Method: the cells of the backdrop move without the wish and
// stand still with it.
func TestReducedMotion(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	p := newPage(t, brokenLink...)
	p.run(chromedp.Navigate(s.url))
	picture := `document.getElementById('backdrop').toDataURL()`
	p.eval(`window.before = `+picture, nil)
	p.until(picture + ` !== before`)
	p.run(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}))
	p.eval(`
		await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
		window.before = `+picture+`;
		for (let n = 0; n < 30; n++) await new Promise((next) => requestAnimationFrame(next));
		if (`+picture+` !== before) throw new Error('it moves');`, nil)
}

// pictures are those of the README.
var pictures = []string{"play-desktop.png", "play-phone.png", "build-phone.png", "mail-phone.png", "lobby-phone.png", "welcome-phone.png"}

// Goal: the pictures of the README show the page as it is. Method: with GOSPER_SCREENSHOTS=1 play a short game and write
// them anew; otherwise see that they are there.
func TestScreenshots(t *testing.T) {
	const folder = "../screenshots"
	if os.Getenv("GOSPER_SCREENSHOTS") != "1" {
		for _, name := range pictures {
			if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
				t.Error(err)
			}
		}
		return
	}
	s := newServer(t)
	ada := s.guest("Ada", "")
	ada.view(1280, 800, "light")
	id := ada.create("Evening pond", map[string]string{"width": "160", "height": "120", "interval": "50"})
	bob, mio := s.guest("Bob", ""), s.guest("Mio", "")
	other := s.guest("Lin", "")
	other.create("Two guns, one eater", map[string]string{"mode": "blended"})
	other.click(`#to-lobby`)
	other.create("HighLife replicators", map[string]string{"rule": "B36/S23", "width": "512", "height": "512"})
	for _, p := range []*page{bob, mio} {
		p.enter(id)
	}
	for p, colour := range map[*page]string{ada: "#159a6c", bob: "#d9482b", mio: "#5a5fd8"} {
		p.click(`[data-drawer=players]`)
		p.until(`document.getElementById('color')`)
		p.eval(`document.getElementById('color').value = `+quote(colour)+`; document.getElementById('color').dispatchEvent(new Event('change'))`, nil)
	}
	soup := func(p *page, x, y, side int) {
		p.eval(fmt.Sprintf(`
			let seed = %d;
			const cells = [];
			for (let n = 0; n < %d; n++) {
				seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
				if (seed >>> 16 & 1) cells.push([%d + n %% %d, %d + Math.floor(n / %d)]);
			}
			await gosper.draw(cells);`, x*7+y, side*side, x, side, y, side), nil)
	}
	soup(ada, 95, 30, 22)
	soup(bob, 60, 70, 22)
	soup(mio, 120, 80, 20)
	ada.click(`[data-drawer=patterns]`)
	ada.take("Gosper glider gun")
	ada.mouse(input.MousePressed, 24, 12)
	ada.mouse(input.MouseReleased, 24, 12)
	ada.until(`gosper.grid.alive(30, 12) || gosper.report.population > 300`)
	ada.run(chromedp.KeyEvent(kb.Escape))
	ada.click(`#run`)
	ada.until(`gosper.report.generation > 260`)
	ada.click(`#run`)
	for _, line := range []string{"Ada: My gun is up in the corner.", "Bob: I see it! Red is winning down here", "Mio: Not for long. Watch the eater I am building 😀",
		"Ada: Pause for a moment, please?", "Bob: Done. Look at the east side: that is a pulsar."} {
		name, text, _ := strings.Cut(line, ": ")
		map[string]*page{"Ada": ada, "Bob": bob, "Mio": mio}[name].say("world", text)
		ada.heard("world", text)
	}
	ada.click(`[data-drawer=players]`)
	ada.until(`document.getElementById('chart-text').textContent !== ''`)
	ada.shoot(filepath.Join(folder, "play-desktop.png"))
	mio.view(390, 760, "dark")
	mio.click(`#tab-world`)
	mio.click(`#zoom-fit`)
	mio.click(`[data-drawer=patterns]`)
	mio.until(`document.querySelector('.template')`)
	mio.shoot(filepath.Join(folder, "play-phone.png"))
	bob.view(390, 760, "light")
	bob.eval(`document.getElementById('talk').classList.add('folded')`, nil)
	bob.click(`#zoom-fit`)
	bob.click(`[data-drawer=build]`)
	bob.until(`document.querySelector('#kinds .template')`)
	for n, at := range [][2]int{{20, 60}, {40, 100}, {140, 15}} {
		bob.eval(fmt.Sprintf(`document.querySelectorAll('#kinds .template')[%d].click()`, n%2), nil)
		bob.eval(fmt.Sprintf(`const { pattern } = await import('/board.js'); await pattern.lay(%d, %d)`, at[0], at[1]), nil)
	}
	bob.until(`document.querySelectorAll('#sites progress').length === 3 && document.querySelector('#sites progress').value > 0.3`)
	bob.eval(`document.getElementById('build-drawer').scrollTop = 1000`, nil)
	bob.shoot(filepath.Join(folder, "build-phone.png"))
	other.view(390, 760, "light")
	other.click(`#to-lobby`)
	other.until(`document.querySelectorAll('.line-game').length === 3`)
	other.shoot(filepath.Join(folder, "lobby-phone.png"))
	other.mail("Mio", "For your pond", "Two gliders, as the east side is too quiet.\n\nLin", "9:glider", "2")
	bob.mail("Mio", "Tomorrow at eight?", "I have a plan for the corner.", "", "1")
	bob.social("family")
	bob.eval(`const form = document.getElementById('family-found'); form.elements.name.value = 'foxes'; form.requestSubmit()`, nil)
	bob.until(`document.getElementById('family-name').textContent === 'foxes'`)
	bob.eval(`const form = document.getElementById('invite-form'); form.elements.gn_target.value = 'Mio'; form.requestSubmit()`, nil)
	mio.unread("3")
	mio.view(390, 760, "light")
	mio.social("mail")
	mio.until(`document.querySelectorAll('.mail').length === 3`)
	mio.eval(`[...document.querySelectorAll('.mail-head')].find((head) => head.textContent.includes('pond')).click()`, nil)
	mio.until(`document.querySelector('.letter') && !document.querySelector('#toasts button')`)
	mio.shoot(filepath.Join(folder, "mail-phone.png"))
	newcomer := s.open()
	newcomer.view(390, 760, "light")
	newcomer.shoot(filepath.Join(folder, "welcome-phone.png"))
}

// shoot writes a picture of what the page shows now.
func (p *page) shoot(name string) {
	p.t.Helper()
	p.until(`document.getAnimations().every((a) => a.playState !== 'running' || a.effect.getComputedTiming().iterations === Infinity)`)
	p.eval(`document.activeElement.blur(); for (const log of document.querySelectorAll('.log')) log.scrollTop = log.scrollHeight;
		for (let n = 0; n < 12; n++) await new Promise((next) => requestAnimationFrame(next));`, nil)
	var picture []byte
	p.run(chromedp.CaptureScreenshot(&picture))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(name, picture, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
