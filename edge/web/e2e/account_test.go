package e2e

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// fill types into the fields of a form and sends it with Enter.
func (p *page) fill(form string, fields ...[2]string) {
	p.t.Helper()
	for n, field := range fields {
		text := field[1]
		if n == len(fields)-1 {
			text += kb.Enter
		}
		p.run(chromedp.SendKeys(`#`+form+` [name=`+field[0]+`]`, text, chromedp.ByQuery))
	}
}

// on waits until a screen is shown.
func (p *page) on(screen string) {
	p.t.Helper()
	p.until(`document.getElementById('` + screen + `')?.hidden === false`)
}

// open goes to the server's page and waits for the connection.
func (s *server) open(allowed ...string) *page {
	s.t.Helper()
	p := newPage(s.t, allowed...)
	p.run(chromedp.Navigate(s.url()))
	p.until(`document.getElementById('state').dataset.state === 'open'`)
	return p
}

// Goal: a newcomer becomes a player with a password, and comes back with it. Method: the three steps with mistakes on the
// way, then a log-in from a second browser, which takes over from the first; then the forgotten password.
func TestRegister(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.open()
	p.click(`#to-register`)
	p.fill("register-form", [2]string{"username", "alfred"}, [2]string{"email", "alfred@example.com"})
	p.on("code")
	p.fill("code-form", [2]string{"emailCode", "wrong"})
	p.until(`document.querySelector('#code-form .problem').textContent === 'Invalid Email Code'`)
	p.set(`#code-form input`, "")
	p.fill("code-form", [2]string{"emailCode", s.emailCode("alfred@example.com", 1)})
	p.on("password")
	p.fill("password-form", [2]string{"password", "secret"})
	p.until(`document.querySelector('#password-form .problem').textContent === 'Password must contain numbers, lowercase and uppercase'`)
	p.set(`#password-form [name=password]`, "")
	p.fill("password-form", [2]string{"password", "Secret1"})
	p.on("enter")
	p.until(`document.querySelector('#enter-form [name=name]').value === 'alfred'`)
	p.click(`#enter-form .primary`)
	p.on("talk")

	other := s.open()
	other.click(`#to-login`)
	other.fill("login-form", [2]string{"username", "alfred"}, [2]string{"password", "Secret2"})
	other.until(`document.querySelector('#login-form .problem').textContent.startsWith('Incorrect')`)
	other.set(`#login-form [name=password]`, "")
	other.fill("login-form", [2]string{"password", "Secret1"})
	other.on("enter")
	p.until(`document.getElementById('state-text').textContent === 'You are playing elsewhere'`)
	p.click(`#retry`)
	p.on("welcome") // its session has ended

	p.click(`#to-login`)
	p.click(`[data-go=forgot]`)
	p.fill("forgot-form", [2]string{"usernameOrEmail", "alfred"})
	p.on("code")
	p.fill("code-form", [2]string{"emailCode", s.emailCode("alfred@example.com", 2)})
	p.on("password")
	p.fill("password-form", [2]string{"password", "Secret3"})
	p.on("enter")
}

// Goal: logging out forgets the session on this browser, and a guest who comes back is the same guest. Method: log out,
// reload, play as a guest again; the name is still the player's own.
func TestLogout(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := s.guest("Ada", "")
	p.click(`#account summary`)
	p.click(`#logout`)
	p.on("welcome")
	p.run(chromedp.Reload())
	p.until(`document.getElementById('state').dataset.state === 'open'`)
	p.on("welcome")
	p.click(`#guest-form button`)
	p.on("enter")
	p.click(`#enter-form .primary`)
	p.on("talk")

	thief := s.open()
	thief.click(`#guest-form button`)
	thief.on("enter")
	thief.fill("enter-form", [2]string{"name", "Ada"})
	thief.until(`document.querySelector('#enter-form .problem').textContent === 'name is taken in this world'`)
}
