package control

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gosper/edge/config"
)

// newSettings opens a folder with files, which a test may change.
func newSettings(t *testing.T, files map[string]string) (folder *config.Folder, dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	folder, err := config.Open(config.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(folder.Close)
	return folder, dir
}

// Goal: the internal endpoints give the files in force, with tags, and the public ones only those that are public. Method: a
// table of requests on one folder.
func TestSettings(t *testing.T) {
	folder, dir := newSettings(t, map[string]string{
		"family.json": `{"members":30}`, "gift@2020-01-01.json": `["a"]`, "broken.json": `{`, "unlike.json": `[1]`,
		"version.json":   `{"2020-01-01":{"client":"1.4","server":"1.5"}}`,
		"world_map.json": `[{"worlds":"1, 4-7","map":"desert"}]`})
	r := newRig(t, func(c *Config) { c.Settings, c.PublicSettings = folder, []string{"gift", "version", "broken", "none"} })
	for _, test := range []struct {
		port, path string
		code       int
		body       string // all of it, or with "…" its beginning
		kind       string
	}{
		{"internal", "/config/family", 200, `{"members":30}`, "application/json"},
		{"internal", "/get_family_config", 200, `{"members":30}`, oldJSON},
		{"internal", "/get_gift_config", 200, `["a"]`, oldJSON},
		{"internal", "/config/none", 404, `{"status":1001…`, ""},
		{"internal", "/config/broken", 503, `{"status":1300,"message":"broken.json: is not JSON: line 1…`, ""},
		{"internal", "/config/..%2fsecret", 404, `{"status":1…`, ""},
		{"internal", "/config/../../etc/passwd", 404, `{"status":1…`, ""},
		{"internal", "/config/family.json", 404, `{"status":1001…`, ""},
		{"internal", "/config/gift@2020-01-01", 404, `{"status":1001…`, ""},
		{"internal", "/config/", 404, `{"status":1000…`, ""},
		{"internal", "/config/a/b", 404, `{"status":1000…`, ""},
		{"internal", "/get__config", 404, `{"status":1000…`, ""},
		{"internal", "/get_server_version", 200, `{"status":0,"version":"1.5"}`, oldJSON},
		{"internal", "/get_client_version", 200, `{"status":0,"version":"1.4"}`, oldJSON},
		{"internal", "/get_server_config_location", 200, `{"location":"/config/","status":0}`, oldJSON},
		{"internal", "/get_world_map", 200, `[{"worlds":"1, 4-7","map":"desert"}]`, oldJSON},
		{"internal", "/get_world_map?world=6", 200, `{"worlds":"1, 4-7","map":"desert"}`, oldJSON},
		{"internal", "/get_world_map?world=8", 404, `{"status":1001…`, ""},
		{"internal", "/get_world_map?world=-1", 400, `{"status":1001…`, ""},
		{"internal", "/get_game_manager_config", 200, `{"family":{"members":30},"gift":["a"],"unlike":[1],"world_map":[{"worlds":"1, 4-7","map":"desert"}],"version":"1.5"}`, oldJSON},
		{"internal", "/config", 200, `{"client":"1.4","server":"1.5","files":[{"name":"broken","bytes":0,"broken":"broken.json: is not JSON…`, "application/json"},
		{"http", "/api/config/gift", 200, `["a"]`, "application/json"},
		{"http", "/api/config/family", 404, `{"status":1001…`, ""},
		{"http", "/api/config/none", 404, `{"status":1001…`, ""},
		{"http", "/api/config/broken", 503, `{"status":1300,"message":"this file is broken…`, ""},
		{"http", "/api/config", 200, `{"client":"1.4","server":"1.5","files":[{"name":"gift"…`, "application/json"},
		{"http", "/config", 404, `{"status":1000…`, ""},
	} {
		response, body := r.request(test.port, "GET", test.path, "")
		begin, cut := strings.CutSuffix(test.body, "…")
		if response.StatusCode != test.code || cut && !strings.HasPrefix(body, begin) || !cut && body != test.body ||
			test.kind != "" && response.Header.Get("Content-Type") != test.kind {
			t.Errorf("%s: %d %s %s", test.path, response.StatusCode, response.Header.Get("Content-Type"), body)
		}
		if test.port == "http" && (strings.Contains(body, "family") || strings.Contains(body, "is not JSON")) {
			t.Errorf("%s tells too much: %s", test.path, body)
		}
		tag := response.Header.Get("ETag")
		if test.code == 200 && !strings.Contains(body, `"status":0`) && tag == "" && !strings.Contains(test.path, "?") {
			t.Errorf("%s has no tag", test.path)
		}
		if tag != "" {
			if response, body := r.request(test.port, "GET", test.path, "", "If-None-Match", `"x", `+tag); response.StatusCode != 304 || body != "" {
				t.Errorf("%s with its tag: %d %s", test.path, response.StatusCode, body)
			}
		}
	}
	if response, _ := r.request("internal", "GET", "/config/gift", ""); response.Header.Get("Gosper-Config-Version") != "2020-01-01" {
		t.Errorf("%v", response.Header)
	}
	before, _ := r.request("internal", "GET", "/config/family", "")
	if err := os.WriteFile(filepath.Join(dir, "family.json"), []byte(`{"members":31}`), 0o600); err != nil {
		t.Fatal(err)
	}
	folder.Reread()
	after, body := r.request("internal", "GET", "/config/family", "", "If-None-Match", before.Header.Get("ETag"))
	if after.StatusCode != 200 || body != `{"members":31}` {
		t.Errorf("after a change: %d %s", after.StatusCode, body)
	}
}

// Goal: a node without a folder answers as one without files. Method: every endpoint.
func TestNoSettings(t *testing.T) {
	r := newRig(t, nil)
	for path, want := range map[string]string{
		"/config": `{"files":[]}`, "/get_game_manager_config": `{}`, "/config/x": `{"status":1001`, "/get_x_config": `{"status":1001`,
		"/get_world_map": `{"status":1001`, "/get_world_map?world=1": `{"status":1001`,
		"/get_server_version": `{"status":1,`, "/get_client_version": `{"status":1,`,
	} {
		if _, body := r.request("internal", "GET", path, ""); !strings.HasPrefix(body, want) {
			t.Errorf("%s: %s", path, body)
		}
	}
	if _, body := r.request("http", "GET", "/api/config", ""); body != `{"files":[]}` {
		t.Error(body)
	}
}

// Goal: a path finds the endpoints of its closest pattern, and a wrong method is told all right ones. Method: a small table.
func TestRoutes(t *testing.T) {
	routes := newRoutes(map[string]endpoint{"/a": {method: "GET"}, "PUT /a": {method: "PUT"}, "/x/{n}": {method: "GET"}, "POST /x/{n}": {method: "POST"},
		"/get_{n}_config": {method: "1"}, "/get_all_config": {method: "2"}, "/deep/{n...}": {method: "3"}, "/deep/er/{n...}": {method: "4"}})
	for _, test := range []struct {
		path, methods, part string
	}{
		{"/a", "GET PUT", ""}, {"/x/1", "GET POST", "1"}, {"/x/", "", ""}, {"/x", "", ""}, {"/x/1/2", "", ""},
		{"/get_b_config", "1", "b"}, {"/get_all_config", "2", ""}, {"/get__config", "", ""}, {"/get_config", "", ""},
		{"/deep/a/b", "3", "a/b"}, {"/deep/er/b", "4", "b"}, {"/deep/", "", ""}, {"", "", ""},
	} {
		found, part := routes.find(test.path)
		got := ""
		for _, m := range []string{"1", "2", "3", "4", "GET", "POST", "PUT"} {
			for _, e := range found {
				if e.method == m {
					got = strings.TrimSpace(got + " " + m)
				}
			}
		}
		if got != test.methods || part != test.part {
			t.Errorf("%s: %q %q", test.path, got, part)
		}
	}
	r := newRig(t, nil)
	if response, body := r.request("http", "POST", "/api/functions", ""); response.StatusCode != 405 || response.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("%v %s", response, body)
	}
}
