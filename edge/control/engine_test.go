package control

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"gosper/broker/chain"
	"gosper/edge/config"
)

// ask sends a request to the internal port, which must be answered with this code, and returns the body.
func (r *rig) ask(code int, method, path, body string, headers ...string) string {
	r.t.Helper()
	response, answer := r.request("internal", method, path, body, headers...)
	if response.StatusCode != code {
		r.t.Fatalf("%s %s: %d %s, want %d", method, path, response.StatusCode, answer, code)
	}
	return answer
}

// submitted submits a chain and waits for its end.
func (r *rig) submitted(endpoints ...string) (hash string) {
	r.t.Helper()
	w := chainOf(endpoints...)
	r.ask(202, "POST", "/work", string(chain.AppendWork(nil, &w)))
	r.ask(200, "GET", "/work/"+w.Hash+"?wait=30", "")
	return w.Hash
}

// Goal: the lock answers as the reference's: RUNNING, PAUSING while a call is under way, PAUSED, and bad bodies change
// nothing. Method: a call that waits, exact bodies.
func TestEngineLock(t *testing.T) {
	r, executor := chainRig(t)
	status := func(want string) {
		t.Helper()
		if got := r.ask(200, "GET", "/api/settings/status", ""); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	status(`{"global_lock":false,"global_status":"RUNNING","running_processes":0}`)
	for _, bad := range []string{``, `{}`, `[]`, `{"global_lock":1}`, `{"global_lock":null}`, `{"lock":true}`, `true`} {
		r.ask(400, "PUT", "/api/settings/status", bad)
	}
	w := chainOf("/wait")
	r.ask(202, "POST", "/work", string(chain.AppendWork(nil, &w)))
	eventually(t, func() bool { return executor.calls.Load() == 1 })
	if got := r.ask(200, "PUT", "/api/settings/status", `{"global_lock":true}`); got != `{"global_lock":true,"global_status":"PAUSING","running_processes":1}` {
		t.Error(got)
	}
	if got := r.ask(200, "GET", "/api/settings/worker-status", ""); got != `{"executor_type":"gosper","number_of_workers_online":256,"number_of_queued_jobs":0,"number_of_running_jobs":1}` {
		t.Error(got)
	}
	later := chainOf("/a")
	r.ask(202, "POST", "/work", string(chain.AppendWork(nil, &later)))
	r.ask(204, "PUT", "/api/processes/"+w.Hash+"/abort", "")
	status(`{"global_lock":true,"global_status":"PAUSED","running_processes":0}`)
	if got := r.ask(200, "GET", "/work/"+later.Hash, ""); !strings.Contains(got, `"state":"created"`) {
		t.Error("a locked engine began a chain:", got)
	}
	r.ask(200, "PUT", "/api/settings/status", `{"global_lock":false}`)
	if got := r.ask(200, "GET", "/work/"+later.Hash+"?wait=30", ""); !strings.Contains(got, `"state":"completed"`) {
		t.Error("what was created under the lock does not go on:", got)
	}
	r.ask(405, "POST", "/api/settings/status", `{"global_lock":true}`)
}

// eventually waits for a condition of another goroutine.
func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("never true")
		}
	}
}

// Goal: the list of processes has a tag that changes when one of them moves and else answers 304, pages and filters; bad
// parameters are refused. Method: lists around changes.
func TestProcessList(t *testing.T) {
	r, _ := chainRig(t)
	response, body := r.request("internal", "GET", "/api/processes", "")
	empty := response.Header.Get("ETag")
	if response.StatusCode != 200 || body != "[]" || !strings.HasPrefix(empty, `W/"`) || len(empty) != len(`W/"00000000"`) {
		t.Fatal(response.StatusCode, body, empty)
	}
	failed, done := r.submitted("/a", "/no"), r.submitted("/a", "/b")
	r.ask(304, "GET", "/api/processes", "", "If-None-Match", tagOf(r, "/api/processes"))
	r.ask(304, "GET", "/api/processes", "", "If-None-Match", `"x", `+tagOf(r, "/api/processes"))
	r.ask(200, "GET", "/api/processes", "", "If-None-Match", empty)
	before := tagOf(r, "/api/processes")
	r.ask(204, "DELETE", "/api/processes/"+done, "")
	if tagOf(r, "/api/processes") == before {
		t.Error("the tag did not change")
	}
	for path, want := range map[string]int{"": 1, "?state=failed": 1, "?state=completed": 0, "?after=" + failed: 0, "?limit=1": 1} {
		var list []chain.Summary
		if err := json.Unmarshal([]byte(r.ask(200, "GET", "/api/processes"+path, "")), &list); err != nil || len(list) != want {
			t.Errorf("%s: %d chains, %v", path, len(list), err)
		}
	}
	for _, bad := range []string{"?limit=0", "?limit=1001", "?limit=-1", "?limit=x", "?state=lost"} {
		r.ask(400, "GET", "/api/processes"+bad, "")
	}
	var counts countsOut
	if err := json.Unmarshal([]byte(r.ask(200, "GET", "/api/processes/status-counts", "")), &counts); err != nil || counts.Processes[chain.Failed] != 1 ||
		counts.Processes[chain.Completed] != 0 || len(counts.Tasks) != len(chain.States()) {
		t.Error(counts, err)
	}
}

func tagOf(r *rig, path string) string {
	response, _ := r.request("internal", "GET", path, "")
	return response.Header.Get("ETag")
}

// Goal: orders to a process answer 204 when they are done, 404 without such a process and 409 when its state does not allow
// them. Method: every order in every state.
func TestProcessOrders(t *testing.T) {
	r, executor := chainRig(t)
	failed, done := r.submitted("/no"), r.submitted("/a")
	w := chainOf("/wait", "/b")
	r.ask(202, "POST", "/work", string(chain.AppendWork(nil, &w)))
	eventually(t, func() bool { return executor.calls.Load() == 3 })
	const none = "00000000000000000000000000000000"
	for _, step := range []struct {
		method, hash, order string
		code                int
	}{
		{"PUT", none, "/resume", 404}, {"PUT", none, "/abort", 404}, {"DELETE", none, "", 404}, {"GET", none, "", 404},
		{"PUT", done, "/resume", 409}, {"PUT", done, "/abort", 409}, {"GET", done, "", 200}, {"DELETE", done, "", 204}, {"DELETE", done, "", 404},
		{"PUT", w.Hash, "/resume", 409}, {"DELETE", w.Hash, "", 409}, {"PUT", w.Hash, "/abort", 204}, {"PUT", w.Hash, "/abort", 409}, {"DELETE", w.Hash, "", 204},
		{"PUT", failed, "/abort", 409}, {"PUT", failed, "/resume", 204},
	} {
		r.ask(step.code, step.method, "/api/processes/"+step.hash+step.order, "")
	}
	r.ask(200, "GET", "/work/"+failed+"?wait=30", "")
	if got := r.ask(200, "PUT", "/api/processes/resume-all", ""); got != `{"count":1}` {
		t.Error(got)
	}
}

// Goal: a workflow of the config folder starts as often as it is asked for, each time as a process of its own, with the body
// as input; not under a lock, not without its name. Method: starts, exact answers.
func TestStartProcess(t *testing.T) {
	dir := t.TempDir()
	workflows := `{"greet":[{"order":1,"request":{"url":"https://a.example","endpoint":"/a","type":"HTTPS","method":"POST"}},
		{"order":2,"request":{"url":"https://a.example","endpoint":"/b","type":"HTTPS","method":"POST","payload":"fixed"}}],
		"empty":[],"odd":[{"order":-1}]}`
	if err := os.WriteFile(filepath.Join(dir, "workflows.json"), []byte(workflows), 0o600); err != nil {
		t.Fatal(err)
	}
	folder, err := config.Open(config.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	r, _ := chainRig(t, func(c *Config) { c.Settings = folder })
	seen := make(map[string]bool)
	for range 3 {
		var out startedOut
		if err := json.Unmarshal([]byte(r.ask(201, "POST", "/api/processes/greet", `[{"name":"Ann"}]`)), &out); err != nil || seen[out.ID] {
			t.Fatal(out, err)
		}
		seen[out.ID] = true
		var s chain.Status
		if err := json.Unmarshal([]byte(r.ask(200, "GET", "/work/"+out.ID+"?wait=30", "")), &s); err != nil || s.State != chain.Completed ||
			s.Items[0].Response.Data != `[{"name":"Ann"}]` || s.Items[1].Response.Data != "fixed" {
			t.Fatalf("%+v %v", s, err)
		}
	}
	r.ask(201, "POST", "/api/processes/greet", "")
	r.ask(404, "POST", "/api/processes/unknown", "")
	r.ask(400, "POST", "/api/processes/empty", "")
	r.ask(400, "POST", "/api/processes/odd", "")
	r.ask(400, "POST", "/api/processes/greet", `{"name":`)
	r.ask(200, "PUT", "/api/settings/status", `{"global_lock":true}`)
	if got := r.ask(503, "POST", "/api/processes/greet", ""); !strings.Contains(got, "locked") {
		t.Error(got)
	}
}

// Goal: a node without chains says so, and services may tell events of their own in bounds. Method: each endpoint; bodies at
// and over the limits.
func TestWithoutChainsAndOwnEvents(t *testing.T) {
	r := newRig(t, nil)
	for key, e := range endpoints {
		path := key[strings.IndexByte(key, ' ')+1:]
		if strings.HasPrefix(path, "/api/processes") || strings.HasPrefix(path, "/api/settings") {
			r.ask(503, e.method, strings.ReplaceAll(path, "{id}", "x"), "")
		}
	}
	id := strings.Repeat("x", eventID)
	r.ask(204, "POST", "/api/events", fmt.Sprintf(`{"type":"orders","id":%q}`, id))
	r.ask(204, "POST", "/api/events", `{"type":"orders"}`)
	for _, bad := range []string{``, `{}`, `{"type":"a.b"}`, `{"type":""}`, `{"type":1}`, fmt.Sprintf(`{"type":"orders","id":%q}`, id+"x")} {
		r.ask(400, "POST", "/api/events", bad)
	}
}
