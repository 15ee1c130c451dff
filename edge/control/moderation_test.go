package control

import (
	"strings"
	"testing"
)

// Goal: the endpoints of moderators do what they say and refuse what cannot be with a word. Method: a table of requests
// in their order.
func TestModerationEndpoints(t *testing.T) {
	r := newRig(t, nil)
	for _, step := range []struct{ method, path, form, want string }{
		{"GET", "/admin/moderation", "", `{"sanctions":[]}`},
		{"POST", "/admin/moderation/mute", "uid=abc&for=2h&reason=flood&by=eve", `"kind":"mute","uid":"abc","reason":"flood","by":"eve"`},
		{"POST", "/admin/moderation/ban", "world=0&name=Ann", `"kind":"ban","world":"0","name":"Ann"`},
		{"POST", "/admin/moderation/mute", "uid=abc&for=soon", "for must be a duration"},
		{"POST", "/admin/moderation/mute", "uid=abc&for=-2h", "for must be a duration"},
		{"POST", "/admin/moderation/mute", "", "name the player"},
		{"POST", "/admin/moderation/mute", "uid=" + strings.Repeat("x", 33), "uid must be"},
		{"POST", "/admin/moderation/unban", "uid=abc", "no such sanction is in force"},
		{"POST", "/admin/moderation/unmute", "uid=abc&by=eve", `"lifted":`},
		{"POST", "/admin/moderation/unmute", "uid=abc", "no such sanction is in force"},
		{"GET", "/admin/moderation", "", `"kind":"ban"`},
		{"GET", "/admin/moderation?past=1", "", `"kind":"mute"`},
		{"GET", "/admin/moderation/mute", "", "use POST"},
		{"GET", "/admin/moderation/reports", "", `{"reports":[]}`},
		{"GET", "/admin/moderation/reports?limit=0", "", "limit must be"},
		{"POST", "/admin/moderation/resolve", "id=nothing", "no report of this id"},
		{"POST", "/admin/moderation/resolve", "id=", "no report of this id"},
		{"GET", "/admin/chatlog", "", "--chat-log"},
	} {
		_, body := r.request("internal", step.method, step.path, step.form, "Content-Type", "application/x-www-form-urlencoded")
		if !strings.Contains(body, step.want) {
			t.Errorf("%s %s %s: %s, want %s", step.method, step.path, step.form, body, step.want)
		}
	}
}
