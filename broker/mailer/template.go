package mailer

import (
	"html"
	"net/mail"
	"strings"
)

// The packages text/template and html/template are not used: they keep the linker from dropping unused methods of the whole
// program, and the texts need no more than names to be filled in.

// template is the text of one kind of mail. {{name}} stands for a value.
type template struct{ subject, text, html string }

// templates of all mails, by the name in Mail.Template.
var templates = map[string]template{
	"registrationCode": {
		subject: "Your code for {{site}}",
		text: "Hello {{username}},\r\n\r\nthis code completes your registration at {{site}}:\r\n\r\n    {{code}}\r\n\r\n" +
			"It is valid for a few hours. If you did not register, ignore this mail.\r\n",
		html: page("Hello {{username}},", "This code completes your registration at {{site}}:",
			"It is valid for a few hours. If you did not register, ignore this mail."),
	},
	"forgotPassword": {
		subject: "A new password for {{site}}",
		text: "Hello {{username}},\r\n\r\nwith this code you can log in to {{site}} and set a new password:\r\n\r\n    {{code}}\r\n\r\n" +
			"If you did not ask for it, ignore this mail: your password stays as it is.\r\n",
		html: page("Hello {{username}},", "With this code you can log in to {{site}} and set a new password:",
			"If you did not ask for it, ignore this mail: your password stays as it is."),
	},
	"bindEmail": {
		subject: "{{code}} is your code for {{site}}",
		text: "Hello {{username}},\r\n\r\nthis code makes this address that of your account at {{site}}:\r\n\r\n    {{code}}\r\n\r\n" +
			"It is valid for five minutes. If you did not ask for it, ignore this mail.\r\n",
		html: page("Hello {{username}},", "This code makes this address that of your account at {{site}}:",
			"It is valid for five minutes. If you did not ask for it, ignore this mail."),
	},
	"unbindEmail": {
		subject: "{{code}} is your code for {{site}}",
		text: "Hello {{username}},\r\n\r\nthis code takes this address from your account at {{site}}:\r\n\r\n    {{code}}\r\n\r\n" +
			"It is valid for five minutes. If you did not ask for it, somebody else is logged in to your account: change your password.\r\n",
		html: page("Hello {{username}},", "This code takes this address from your account at {{site}}:",
			"It is valid for five minutes. If you did not ask for it, somebody else is logged in to your account: change your password."),
	},
}

func page(greeting, before, after string) string {
	return `<!doctype html><html lang="en"><body style="font-family:sans-serif"><p>` + greeting + "</p><p>" + before +
		`</p><p style="font-size:1.3em"><code>{{code}}</code></p><p>` + after + "</p></body></html>\r\n"
}

// fill puts values for names, each through clean. Values are not looked at for names again.
func fill(text string, values map[string]string, clean func(string) string) string {
	pairs := make([]string, 0, 2*len(values))
	for name, value := range values {
		pairs = append(pairs, "{{"+name+"}}", clean(value))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// oneLine keeps a value inside its line or header.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// escaped makes a value text in HTML.
func escaped(s string) string { return html.EscapeString(oneLine(s)) }

// domainOf returns the host of an address that was checked.
func domainOf(from string) string {
	a, err := mail.ParseAddress(from)
	if err != nil {
		return "localhost"
	}
	return a.Address[strings.LastIndexByte(a.Address, '@')+1:]
}
