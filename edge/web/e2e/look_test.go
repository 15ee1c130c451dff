package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// Goal: every screen fits a narrow phone, every control is large enough for a thumb and has a name, and text can be
// read in light and dark. Method: show each screen at 360 pixels and measure; the contrast is that of WCAG AA.
func TestEveryScreen(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.guest("Ada", "foxes")
	p.say("world", "a-word-without-any-place-to-break-it-"+fmt.Sprintf("%080d", 7))
	p.heard("world", "a-word-without-any-place-to-break-it-"+fmt.Sprintf("%080d", 7))
	for _, scheme := range []string{"light", "dark"} {
		p.view(360, 640, scheme)
		for _, screen := range []string{"back", "welcome", "login", "register", "forgot", "code", "password", "enter", "talk"} {
			var faults []string
			p.eval(`
				const { show } = await import('/screens.js');
				show(`+quote(screen)+`);
				await document.fonts.ready;
				await Promise.all(document.getAnimations().filter((a) => a.effect.getComputedTiming().iterations === 1).map((a) => a.finished));
				const faults = [];
				const root = document.documentElement;
				if (root.scrollWidth > 360) faults.push('scrolls sideways: ' + root.scrollWidth);
				const visible = (e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest('.visually-hidden');
				for (const control of document.querySelectorAll('button, input, summary')) {
					if (!visible(control)) continue;
					const box = control.getBoundingClientRect();
					const name = control.getAttribute('aria-label') || control.textContent.trim() || control.labels?.[0]?.textContent;
					if (!name) faults.push('no name: ' + control.outerHTML);
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
				for (const element of document.querySelectorAll('h1, h2, p, label, button, span, time, li')) {
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
	}
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

// Goal: the pictures of the README show the page as it is. Method: with GOSPER_SCREENSHOTS=1 play a short talk and write
// them anew; otherwise see that they are there.
func TestScreenshots(t *testing.T) {
	const folder = "../screenshots"
	if os.Getenv("GOSPER_SCREENSHOTS") != "1" {
		for _, name := range []string{"talk-desktop.png", "talk-phone.png", "welcome-phone.png"} {
			if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
				t.Error(err)
			}
		}
		return
	}
	s := newServer(t)
	ada := s.guest("Ada", "foxes")
	bob := s.guest("Bob", "")
	mio := s.guest("Mio", "foxes")
	kai := s.phone("0", "Kai", "foxes")
	ada.say("world", "Good evening! Is anybody watching the north-east corner?")
	kai.expect("0000PUBLICAda:Good evening! Is anybody watching the north-east corner?")
	kai.say("0000PUBLICYes, from the train. Something is growing there.")
	bob.heard("world", "Yes, from the train. Something is growing there.")
	bob.say("world", "That is mine: a gun. It fires every 30 generations")
	mio.heard("world", "That is mine: a gun. It fires every 30 generations")
	mio.say("world", "Then let us build an eater in its way 😀")
	bob.heard("world", "Then let us build an eater in its way 😀")
	bob.say("world", "Try it.")
	ada.heard("world", "Try it.")
	ada.say("world", "Foxes, to the family room please.")
	ada.heard("world", "Foxes, to the family room please.")
	mio.say("family", "Here!")
	ada.until(`!document.querySelector('#tab-family .badge').hidden`)
	ada.until(`document.getElementById('people-count').textContent === '4'`)

	ada.view(1280, 760, "light")
	ada.shoot(filepath.Join(folder, "talk-desktop.png"))
	ada.view(390, 760, "dark")
	ada.shoot(filepath.Join(folder, "talk-phone.png"))
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
