package e2e

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// social opens the panel at a part.
func (p *page) social(part string) {
	p.t.Helper()
	p.eval(`const { open } = await import('/social.js'); await open(`+quote(part)+`)`, nil)
}

// choose clicks the button of this text in what a selector finds, as soon as there is one that can be clicked.
func (p *page) choose(scope, text string) {
	p.t.Helper()
	find := fmt.Sprintf(`[...document.querySelectorAll(%s)].find((b) => b.textContent.trim() === %s && b.checkVisibility() && !b.disabled)`,
		quote(scope+" button"), quote(text))
	p.until(find)
	p.eval(find+`.click()`, nil)
}

// sure clicks a button that asks, and answers yes.
func (p *page) sure(scope, text, question string) {
	p.t.Helper()
	p.choose(scope, text)
	p.choose(scope, question)
}

// toast waits until the page tells something in passing, and follows it; on a busy machine it may be gone, and is in the news.
func (p *page) toast(text string) {
	p.t.Helper()
	p.eval(fmt.Sprintf(`
		const text = %s;
		const told = () => [...document.querySelectorAll('#toasts button')].find((b) => b.textContent === text);
		const kept = () => [...document.querySelectorAll('#news button')].find((b) => b.ariaLabel === 'Show: ' + text);
		const wait = async (find, ms) => {
			for (const end = Date.now() + ms; !find() && Date.now() < end;) await new Promise((next) => setTimeout(next, 15));
			return find();
		};
		const toast = await wait(told, 5000);
		if (toast) return toast.click();
		await (await import('/social.js')).open('news');
		const entry = await wait(kept, 30000);
		if (!entry) throw new Error('never told: ' + text);
		entry.click();`, quote(text)), nil)
}

// done waits until the panel says that something was done.
func (p *page) done(text string) {
	p.t.Helper()
	p.until(`document.getElementById('social-note').textContent === ` + quote(text))
}

// unread waits until the number of unread mails is this; "" for none.
func (p *page) unread(count string) {
	p.t.Helper()
	p.until(`((b) => b.hidden ? ` + quote(count) + ` === '' : b.textContent === ` + quote(count) + `)(document.querySelector('#social-open .badge'))`)
}

// mail writes a mail with the form.
func (p *page) mail(to, subject, body, gift, many string) {
	p.t.Helper()
	p.social("mail")
	p.choose(`#social-mail`, "Write")
	p.until(`document.querySelector('#mail-form [name=gift]').options.length > 1`)
	for field, value := range map[string]string{"gn_target": to, "subj": subject, "body": body, "gift": gift, "many": many} {
		p.set(`#mail-form [name=`+field+`]`, value)
	}
	p.choose(`#mail-form`, "Send")
	p.done("The mail to " + to + " is sent.")
}

// Goal: a gift goes from one player to a board of another. Method: Ada mails gliders; Bob, on a phone, sees the number and the
// word at once, reads, accepts on one of two pages, is refused on the other, and lays them in several orientations on the
// board that both see; then he answers.
func TestMail(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ada := s.guest("Ada", "")
	id := ada.create("pond", map[string]string{"width": "60", "height": "40"})
	bob := s.guest("Bob", "")
	bob.view(390, 844, "dark")
	twin := s.twin(bob)
	for _, p := range []*page{bob, twin} {
		p.until(`!document.getElementById('social-open').hidden`)
		p.unread("")
	}

	ada.mail("Bob", "for you", "Lay them well.", "9:glider", "2")
	for _, p := range []*page{bob, twin} {
		p.unread("1")
		p.toast("Mail from Ada, with a gift: for you")
		p.until(`document.querySelector('.letter .text')?.textContent === 'Lay them well.' && document.querySelector('.letter .gift').textContent === '2 × glider'`)
		p.until(`document.activeElement.matches('.mail-head[aria-expanded=true]')`)
		p.unread("")
	}
	bob.until(`Math.abs(Date.parse(document.querySelector('.mail time').dateTime) - Date.now()) < 60_000`)
	bob.choose(`.letter`, "Accept the gift")
	bob.done("You have accepted 2 × glider.")
	bob.until(`document.querySelector('.letter .hint').textContent === 'You have accepted 2 × glider.'`)
	twin.choose(`.letter`, "Accept the gift")
	twin.until(`document.getElementById('social-problem').textContent === 'this was accepted or refused already'`)
	twin.until(`document.querySelector('.letter .hint').textContent.includes('accepted or refused already') && !document.querySelector('.letter').textContent.includes('Accept the gift')`)

	bob.choose(`.letter`, "To your gifts")
	bob.choose(`#gift-patterns`, "Place")
	bob.until(`document.getElementById('social-problem').textContent.startsWith('Join a game first')`)
	bob.run(chromedp.KeyEvent(kb.Escape))
	bob.until(`document.getElementById('social').hidden`)
	bob.enter(id)
	for n, keys := range []string{"", "r", "rr", "f", "rf"} {
		bob.social("gifts")
		bob.until(fmt.Sprintf(`[...document.querySelectorAll('#gift-patterns .entry')].find((e) => e.textContent.startsWith('glider')).textContent.includes('× %d')`, 5-n))
		bob.eval(`document.querySelector('#gift-patterns [data-of=glider].primary').click()`, nil)
		bob.until(`document.getElementById('social').hidden && document.activeElement.id === 'board'`)
		bob.press(keys)
		bob.eval(fmt.Sprintf(`
			const { pattern } = await import('/board.js');
			window.want = pattern.cells.map(([x, y]) => [%d + x, 4 + y]);
			await pattern.lay(%d, 4);`, 10*n+3, 10*n+3), nil)
		bob.until(fmt.Sprintf(`gosper.report.population === %d && want.every(([x, y]) => gosper.grid.alive(x, y))`, 5*n+5))
	}
	bob.until(`document.getElementById('board-note').textContent === 'glider laid at 43, 4: you have 0 left.'`)
	agree(t, ada, bob)

	bob.social("mail")
	bob.choose(`.letter`, "Reply")
	bob.until(`document.querySelector('#mail-form [name=gn_target]').value === 'Ada' && document.querySelector('#mail-form [name=subj]').value === 'Re: for you'`)
	bob.run(chromedp.SendKeys(`#mail-form [name=body]`, "Five <b>gliders</b>!", chromedp.ByQuery))
	bob.choose(`#mail-form`, "Send")
	ada.done("Mail from Bob: Re: for you")
	ada.click(`.mail-head`)
	ada.until(`document.querySelector('.letter .text')?.textContent === 'Five <b>gliders</b>!'`)
	ada.sure(`.letter`, "Delete", "Delete it?")
	ada.until(`!document.querySelector('.mail') && !document.getElementById('no-mail').hidden && document.getElementById('mail-count').textContent === '0 of 50'`)

	// What was not read is still unread after a reload.
	ada.mail("Bob", "one more", "", "", "1")
	bob.unread("1")
	bob.run(chromedp.Reload())
	bob.on("talk")
	bob.unread("1")
}

// Goal: two players become friends, and stop being it. Method: find, ask, accept by mail, the gift of the day, who is here, and
// the end, with the lists of both.
func TestFriends(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ada, bob := s.guest("Ada", ""), s.guest("Bob", "")
	bob.social("friends")
	bob.run(chromedp.SendKeys(`#friend-form input`, "ad"+kb.Enter, chromedp.ByQuery))
	bob.choose(`#found`, "Ask to be friends")
	bob.done("Ada is asked by mail.")
	ada.unread("1")
	ada.toast("Mail from Bob: Asks to be your friend")
	ada.choose(`.letter`, "Accept")
	ada.done("Bob is your friend now.")
	bob.done("Ada is your friend now.")
	bob.until(`document.querySelector('#friends .entry strong')?.textContent === 'Ada' && document.querySelector('#friends .here')`)
	bob.choose(`#friends`, "Gift of the day")
	bob.done("The gift of the day is on its way to Ada.")
	bob.until(`[...document.querySelectorAll('#friends button')].some((b) => b.textContent === 'Gift sent today' && b.disabled)`)
	ada.done("Mail from Bob, with a gift: The gift of the day")
	ada.choose(`#social-mail`, "Accept all gifts")
	ada.done("You have accepted 1 × glider, 10 × resource 1.")
	ada.social("friends")
	ada.until(`document.querySelectorAll('#friends .here').length === 1`)
	ada.click(`#social-close`)
	ada.until(`document.getElementById('social').hidden`)
	ada.eval(`document.getElementById('logout').click()`, nil)
	ada.on("welcome")
	bob.until(`document.querySelectorAll('#friends .entry').length === 1 && !document.querySelector('#friends .here')`)
	bob.sure(`#friends`, "Remove", "Remove Ada?")
	bob.done("Ada is not your friend any more.")
	bob.until(`!document.querySelector('#friends .entry')`)
	bob.social("news")
	bob.until(`document.querySelector('#news').textContent.includes('Ada is your friend now.')`)
}

// Goal: a family is founded, joined by asking, led and left, and the rooms follow at once. Method: Bob asks, Ada lets him in,
// both talk, Ada gives him a role, puts up a notice, disbands and takes it back, and removes him.
func TestFamilies(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ada, bob := s.guest("Ada", ""), s.guest("Bob", "")
	ada.social("family")
	ada.run(chromedp.SendKeys(`#family-found input`, "foxes"+kb.Enter, chromedp.ByQuery))
	ada.until(`document.getElementById('family-name').textContent === 'foxes'`)
	bob.social("family")
	bob.run(chromedp.SendKeys(`#family-search input`, "fo"+kb.Enter, chromedp.ByQuery))
	bob.choose(`#families`, "Ask to join")
	bob.eval(`
		const old = document.querySelector('#families button');
		document.getElementById('family-search').requestSubmit();
		while (old.isConnected) await new Promise((next) => setTimeout(next, 10)); // the question waits on in a new list`, nil)
	bob.choose(`#families`, "Ask foxes?")
	bob.done("The family foxes is asked. You are in as soon as it says yes.")
	ada.toast("Mail from Bob: Asks to join the family")
	ada.choose(`.letter`, "Accept")
	ada.done("You have accepted it.")
	ada.unread("")
	bob.done("You joined the family foxes.")
	bob.until(`document.getElementById('family-name').textContent === 'foxes' && document.querySelectorAll('#members .entry').length === 2`)
	bob.until(`document.getElementById('family-officers').hidden && document.getElementById('family-disband').hidden`)
	bob.click(`#social-close`)
	bob.say("family", "thank you")
	ada.click(`#social-close`)
	ada.click(`#tab-family`)
	ada.heard("family", "thank you")
	ada.say("family", "welcome")
	bob.heard("family", "welcome")

	ada.choose(`#room-family`, "Members and more")
	ada.until(`document.querySelector('#members select')`)
	ada.eval(`const choice = document.querySelector('#members select'); choice.value = '8'; choice.dispatchEvent(new Event('change'))`, nil)
	bob.toast("Ada gave you the role admin.")
	bob.until(`!document.getElementById('family-officers').hidden`)
	bob.run(chromedp.SendKeys(`#notice-form input`, "Meet at <b>eight</b>."+kb.Enter, chromedp.ByQuery))
	for _, p := range []*page{ada, bob} {
		p.until(`document.getElementById('family-notice').textContent === 'Notice: Meet at <b>eight</b>.'`)
	}
	ada.sure(`#social-family`, "Disband the family", "Disband it for all?")
	for _, p := range []*page{ada, bob} {
		p.until(`document.getElementById('family-timer').checkVisibility() && /ends in 2[34] h/.test(document.getElementById('family-timer').textContent)`)
	}
	bob.choose(`#social-family`, "Take it back")
	for _, p := range []*page{ada, bob} {
		p.until(`document.getElementById('family-end').hidden`)
	}
	ada.sure(`#members`, "Remove", "Remove Bob?")
	ada.until(`document.querySelectorAll('#members .entry').length === 1`)
	bob.done("Ada removed you from the family foxes.")
	bob.until(`!document.getElementById('no-family').hidden && document.getElementById('in-family').hidden`)
	bob.click(`#social-close`)
	bob.click(`#tab-family`)
	bob.until(`!document.getElementById('family-form').hidden && !document.getElementById('say-family').checkVisibility() && document.getElementById('who-place').textContent === 'World 0'`)
	ada.click(`#social-close`)
	ada.say("family", "alone again")
	ada.heard("family", "alone again")
	if got := bob.talk("family"); len(got) != 0 {
		t.Errorf("Bob still reads %q", got)
	}
}

// Goal: the panel is used by keys alone. Method: open it, walk through its parts, close it, and look at the focus.
func TestSocialKeys(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.guest("Kim", "")
	p.until(`!document.getElementById('social-open').hidden`)
	p.run(chromedp.Focus(`#social-open`, chromedp.ByQuery), chromedp.KeyEvent(kb.Enter))
	for n, part := range []string{"mail", "friends", "family", "gifts", "news"} {
		if n > 0 {
			p.run(chromedp.KeyEvent(kb.ArrowRight))
		}
		p.until(`document.activeElement.id === 'social-tab-` + part + `' && document.activeElement.ariaSelected === 'true' && [...document.querySelectorAll('#social-` + part + ` h2')].some((h) => h.checkVisibility())`)
	}
	p.run(chromedp.KeyEvent(kb.Home))
	p.until(`document.activeElement.id === 'social-tab-mail'`)
	p.run(chromedp.KeyEvent(kb.Tab + kb.Tab))
	p.until(`document.activeElement.id === 'mail-write'`)
	p.run(chromedp.KeyEvent(kb.Enter))
	p.until(`document.activeElement.name === 'gn_target'`)
	p.run(chromedp.KeyEvent("Nobody" + kb.Tab + "hello" + kb.Enter))
	p.until(`document.querySelector('#mail-form .problem').textContent === 'there is no such player in this world'`)
	p.run(chromedp.KeyEvent(kb.Escape))
	p.until(`document.getElementById('social').hidden && document.activeElement.id === 'social-open'`)
}

// Goal: a mail that was answered survives a kill -9, and the pages go on. Method: Ada mails a gift and the server is killed at once;
// it comes back; Bob, who was connected all the time, sees the mail, once, and accepts it.
func TestMailKill(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ada := s.guest("Ada", "", brokenLink...)
	bob := s.guest("Bob", "", brokenLink...)
	bob.until(`!document.getElementById('social-open').hidden`)
	ada.mail("Bob", "before the storm", "", "9:block", "5")
	s.kill()
	bob.until(`['waiting', 'connecting'].includes(document.getElementById('state').dataset.state)`)
	s.start()
	bob.until(`document.getElementById('state').dataset.state === 'open'`)
	bob.unread("1")
	bob.social("mail")
	bob.until(`document.querySelectorAll('.mail').length === 1`)
	bob.choose(`#social-mail`, "Accept all gifts")
	bob.done("You have accepted 5 × block.")
	bob.social("gifts")
	bob.until(`[...document.querySelectorAll('#gift-patterns .entry')].find((e) => e.textContent.startsWith('block')).textContent.includes('× 10')`)
}
