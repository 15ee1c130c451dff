package e2e

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// Goal: the page of the API shows every function and endpoint with its example, finds them, and fits a phone, in light and dark.
// Method: search and open at 360 pixels; measure; a link to one entry opens it.
func TestAPIPage(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := newPage(t)
	for _, scheme := range []string{"light", "dark"} {
		p.view(360, 640, scheme)
		p.run(chromedp.Navigate(s.url() + "api"))
		p.until(`document.querySelectorAll('details').length > 100`)
		var counts struct{ Functions, Shown, Endpoints int }
		p.eval(`
			const functions = await (await fetch('/api/functions')).json();
			const paths = Object.values((await (await fetch('/api/openapi.json')).json()).paths).flatMap((path) => Object.values(path));
			return { functions: functions.length, shown: document.querySelectorAll('details[id^=call_]').length,
				endpoints: paths.filter((o) => !o.operationId.startsWith('call_')).length - document.querySelectorAll('details[id^=GET]').length };`, &counts)
		if counts.Functions == 0 || counts.Functions != counts.Shown || counts.Endpoints != 0 {
			t.Errorf("%+v", counts)
		}
		p.set(`#search`, "upgrade building")
		p.eval(`document.getElementById('search').dispatchEvent(new Event('input'))`, nil)
		p.until(`document.querySelectorAll('details').length > 0 && document.querySelectorAll('details').length < 20`)
		p.click(`#call_building_upgrade summary`)
		p.until(`document.querySelector('#call_building_upgrade pre')?.textContent.includes('"/building/upgrade"') && location.hash === '#call_building_upgrade'`)
		p.until(`[...document.querySelectorAll('#call_building_upgrade td')].some((cell) => cell.textContent === 'body_id')`)
		p.until(`document.documentElement.scrollWidth <= 360`)
		p.set(`#search`, "no such thing at all")
		p.eval(`document.getElementById('search').dispatchEvent(new Event('input'))`, nil)
		p.until(`document.getElementById('none')`)
		p.set(`#search`, "")
		p.eval(`document.getElementById('search').dispatchEvent(new Event('input'))`, nil)
		p.click(`[data-kind=http]`)
		p.until(`document.querySelectorAll('details').length < 20`)
		p.eval(`for (const box of document.querySelectorAll('details')) box.open = true; await new Promise((next) => setTimeout(next, 50));`, nil)
		p.until(`document.documentElement.scrollWidth <= 360 && [...document.querySelectorAll('details')].every((box) => box.children.length === 2)`)
		p.run(chromedp.Navigate("about:blank"), chromedp.Navigate(s.url()+"api#push_mail_new"))
		p.until(`document.getElementById('push_mail_new')?.open`)
	}
}
