package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// brokenLink is what Chromium writes to the console when the server is away: not an error of the page.
var brokenLink = []string{"WebSocket connection to", "ERR_CONNECTION", "net::ERR"}

// guest opens the page and walks in as a guest.
func (s *server) guest(name, family string, allowed ...string) *page {
	s.t.Helper()
	p := s.open(allowed...)
	p.click(`#guest-form button`)
	p.on("enter")
	p.set(`#enter-form [name=name]`, name)
	p.click(`#enter-form .primary`)
	p.on("talk")
	if family != "" {
		p.found(family)
	}
	return p
}

// found founds a family in its room.
func (p *page) found(family string) {
	p.t.Helper()
	p.click(`#tab-family`)
	p.run(chromedp.SendKeys(`#family-form input`, family+kb.Enter, chromedp.ByQuery))
	p.until(`document.activeElement.id === 'say-family'`)
	p.click(`#tab-world`)
}

// say types a line into a room ("world", "family") and sends it with Enter.
func (p *page) say(room, text string) {
	p.t.Helper()
	p.click(`#tab-` + room)
	p.run(chromedp.SendKeys(`#say-`+room, text+kb.Enter, chromedp.ByQuery))
}

// heard waits until a room shows the text, without waiting lines of our own.
func (p *page) heard(room, text string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`[...document.querySelectorAll('#room-%s .lines:not(.pending) .text')].some((line) => line.textContent === %s)`, room, quote(text)))
}

// talk returns the lines of a room as "name: text".
func (p *page) talk(room string) []string {
	p.t.Helper()
	var lines []string
	p.eval(fmt.Sprintf(`return [...document.querySelectorAll('#room-%s .lines:not(.pending) .line')]
		.map((line) => line.querySelector('.name').textContent + ': ' + line.querySelector('.text').textContent)`, room), &lines)
	return lines
}

func (p *page) people() string {
	p.t.Helper()
	var names []string
	p.eval(`return [...document.querySelectorAll('#people-list li > span:nth-child(2)')].map((name) => name.textContent)`, &names)
	return strings.Join(names, " ")
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// Goal: browsers and a phone on raw TCP are in one talk. Method: two pages and a line client speak in turn in the
// world and in the family; a third page is in no family; every room must show every line once, in order.
func TestTalk(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ada := s.guest("Ada", "foxes")
	bob := s.guest("Bob", "")
	kai := s.phone("0", "Kai", "foxes")
	ada.until(`document.getElementById('people-count').textContent === '3'`)
	if got := ada.people(); got != "Ada Bob Kai" {
		t.Errorf("people: %s", got)
	}

	ada.say("world", "hello from a page")
	kai.expect("0000PUBLICAda:hello from a page")
	bob.heard("world", "hello from a page")
	kai.say("0000PUBLIChello from a phone")
	kai.expect("0000PUBLICKai:hello from a phone")
	bob.heard("world", "hello from a phone")
	bob.say("world", "and from <b>another</b> page")
	bob.heard("world", "and from <b>another</b> page")
	ada.heard("world", "and from <b>another</b> page")
	kai.expect("0000PUBLICBob:and from <b>another</b> page")

	kai.say("0000FAMILYfoxes only")
	kai.expect("0000FAMILYKai:foxes only")
	ada.until(`document.querySelector('#tab-family .badge').textContent === '1' && !document.querySelector('#tab-family .badge').hidden`)
	ada.say("family", "yes")
	ada.heard("family", "yes")
	kai.expect("0000FAMILYAda:yes")

	world := []string{"Ada: hello from a page", "Kai: hello from a phone", "Bob: and from <b>another</b> page"}
	equal(t, "Ada's world", ada.talk("world"), world)
	equal(t, "Bob's world", bob.talk("world"), world)
	equal(t, "Ada's family", ada.talk("family"), []string{"Kai: foxes only", "Ada: yes"})
	equal(t, "Bob's family", bob.talk("family"), nil)

	// Who is of the family from now on reads what was said in it.
	bob.run(chromedp.Navigate(s.url() + "?nonce=" + s.nonce("0", "Bob", "foxes")))
	bob.until(`document.getElementById('who-place').textContent === 'World 0, family foxes'`)
	bob.click(`#tab-family`)
	bob.heard("family", "yes")
	bob.say("family", "me too")
	kai.expect("0000FAMILYBob:me too")
	ada.heard("family", "me too")

	kai.say("000000EXIT")
	ada.until(`document.getElementById('people-count').textContent === '2'`)
	if got := ada.people(); got != "Ada Bob" {
		t.Errorf("people: %s", got)
	}
}

// Goal: a kill -9 of the server costs the players nothing but a moment. Method: two pages talk, the server is killed in
// the middle of a burst, lines are typed while it is away, it comes back on the same ports and folder; three times.
func TestKill(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ada := s.guest("Ada", "", brokenLink...)
	bob := s.guest("Bob", "", brokenLink...)
	var want []string
	for round := range 3 {
		before := fmt.Sprintf("round %d before", round)
		ada.say("world", before)
		bob.heard("world", before)
		ada.eval(fmt.Sprintf(`
			const field = document.getElementById('say-world');
			for (let n = 0; n < 20; n++) {
				field.value = 'round %d burst ' + n;
				field.form.requestSubmit();
			}`, round), nil)
		s.kill()
		ada.until(`['waiting', 'connecting'].includes(document.getElementById('state').dataset.state)`)
		away := fmt.Sprintf("round %d away", round)
		ada.say("world", away)
		ada.until(`document.querySelector('#room-world .pending').textContent.includes('Waits for the connection')`)
		s.start()
		ada.heard("world", away)
		bob.heard("world", away)
		after := fmt.Sprintf("round %d after", round)
		bob.say("world", after)
		ada.heard("world", after)
		bob.heard("world", after)
		want = append(want, before)
		for n := range 20 {
			want = append(want, fmt.Sprintf("round %d burst %d", round, n))
		}
		want = append(want, away, after)
	}
	if got := fmt.Sprint(ada.talk("world")); got != fmt.Sprint(bob.talk("world")) {
		t.Errorf("the pages differ:\nAda %s\nBob %s", got, fmt.Sprint(bob.talk("world")))
	}
	count := map[string]int{}
	for _, line := range ada.talk("world") {
		_, text, _ := strings.Cut(line, ": ")
		count[text]++
	}
	for _, text := range want {
		if count[text] != 1 {
			t.Errorf("%q is shown %d times", text, count[text])
		}
	}
	if len(count) != len(want) {
		t.Errorf("%d different lines, want %d", len(count), len(want))
	}
	ada.until(`document.querySelector('#room-world .pending').children.length === 0`)

	// A reload is a newcomer with an old token: straight back to the same place.
	ada.run(chromedp.Reload())
	ada.heard("world", "round 2 after")
	equal(t, "after a reload", ada.talk("world"), bob.talk("world"))
}

// Goal: a link with a nonce lets its player in, once. Method: open it, then open it again in another browser.
func TestNonceLink(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	link := s.url() + "?nonce=" + s.nonce("7", "Zoë", "owls")
	p := newPage(t)
	p.run(chromedp.Navigate(link))
	p.until(`!document.getElementById('talk').hidden && document.getElementById('who-place').textContent === 'World 7, family owls'`)
	p.until(`location.search === ''`)
	p.say("family", "here")
	p.heard("family", "here")
	p.until(`!document.querySelector('#social-open, .family-head button').checkVisibility()`) // a visitor has no mailbox

	other := newPage(t)
	other.run(chromedp.Navigate(link))
	other.until(`document.querySelector('#welcome .problem').textContent.startsWith('The link did not work')`)
}

// Goal: names and lines of players are never code. Method: a name and a line full of markup.
func TestTextIsText(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	name := `<i id=evil>x</i>`
	p := s.guest(name, "")
	text := `<img src=x onerror="document.title='evil'"><script>document.title='evil'</script>`
	p.say("world", text)
	p.heard("world", text)
	equal(t, "world", p.talk("world"), []string{name + ": " + text})
	p.until(`!document.getElementById('evil') && !document.querySelector('.lines img') && document.title === 'gosper'`)
}

// Goal: everything can be done without a mouse, and the focus is always somewhere sensible. Method: keys only, from the
// first page to a line in the family's room and the way out.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.open()
	focus := func(condition string) {
		t.Helper()
		p.until(`((e) => ` + condition + `)(document.activeElement)`)
	}
	keys := func(text string) { t.Helper(); p.run(chromedp.KeyEvent(text)) }
	shiftTab := func() { t.Helper(); p.run(chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(input.ModifierShift))) }

	focus(`e.id === 'welcome-title'`)
	keys(kb.Tab)
	focus(`e.textContent === 'Play as a guest'`)
	keys(kb.Enter)
	focus(`e.name === 'name'`)
	keys("Kim" + kb.Tab)
	focus(`e.name === 'world'`)
	keys(kb.Enter)
	focus(`e.id === 'say-world'`)
	keys("typed" + kb.Enter)
	p.heard("world", "typed")
	focus(`e.id === 'say-world'`)
	shiftTab() // the log
	focus(`e.getAttribute('role') === 'log'`)
	shiftTab() // the tabs
	focus(`e.id === 'tab-world'`)
	keys(kb.ArrowRight)
	focus(`e.id === 'tab-family' && !document.getElementById('room-family').hidden`)
	keys(kb.End)
	focus(`e.id === 'tab-people' && !document.getElementById('people').hidden`)
	keys(kb.ArrowLeft)
	focus(`e.id === 'tab-family'`)
	keys(kb.Tab)
	focus(`e.form?.id === 'family-form'`)
	keys("bears" + kb.Enter)
	focus(`e.id === 'say-family'`)
	keys("growl" + kb.Enter)
	p.heard("family", "growl")
	for range 6 {
		shiftTab()
		var at string
		p.eval(`return document.activeElement.tagName`, &at)
		if at == "SUMMARY" {
			break
		}
	}
	focus(`e.tagName === 'SUMMARY'`)
	keys(kb.Enter)
	p.until(`document.getElementById('account').open`)
	keys(kb.Escape)
	p.until(`!document.getElementById('account').open`)
	focus(`e.tagName === 'SUMMARY'`)
	keys(kb.Enter + kb.Tab + kb.Tab)
	focus(`e.id === 'logout'`)
	keys(kb.Enter)
	focus(`e.id === 'welcome-title'`)
}
