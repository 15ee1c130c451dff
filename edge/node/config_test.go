package node

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Goal: a running node follows its config folder: functions, services and clients see a change, and what is public only is public.
// Method: a node of its own; the folder, a file, a change and a broken change, each waited for by asking.
func TestConfigFolder(t *testing.T) {
	o := DefaultOptions()
	o.Data, o.ConfigPublic = t.TempDir(), []string{"notice"}
	o.LineAddr, o.GateAddr, o.GateWorkerAddr = "", "", ""
	o.HTTPAddr, o.InternalAddr = "127.0.0.1:0", "127.0.0.1:0"
	n, err := Start(context.Background(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	ask := func(port, path string) string {
		response, err := http.Get("http://" + n.Addr(port).String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		b, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	dir := filepath.Join(o.Data, "config")
	write := func(name, data string) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	eventually := func(port, path, want string) {
		t.Helper()
		for end := time.Now().Add(patience); !strings.Contains(ask(port, path), want); {
			if time.Now().After(end) {
				t.Fatalf("%s never has %q: %s", path, want, ask(port, path))
			}
			n.config.Reread()
		}
	}
	if got := ask("internal", "/config"); got != `{"files":[]}` {
		t.Error(got)
	}
	write("building.json", `{"hut":[{"seconds":1,"pattern":"block"}]}`)
	write("notice.json", `{"text":"hello"}`)
	eventually("internal", "/config/building", `"hut"`)
	eventually("http", "/api/config/notice", `{"text":"hello"}`)
	if got := ask("http", "/api/config/building"); strings.Contains(got, "hut") {
		t.Error("the public port tells", got)
	}
	write("building.json", `{"hut":[{"seconds":-1,"pattern":"block"}]}`)
	eventually("internal", "/config", `"broken":"building.json: building \"hut\", level 1`)
	if got := ask("internal", "/config/building"); !strings.Contains(got, `"seconds":1`) {
		t.Error("the last good content has gone:", got)
	}
	if got := ask("internal", "/metrics"); !strings.Contains(got, "\ngosper_config_broken 1\n") || !strings.Contains(got, "# TYPE gosper_config_broken gauge\n") {
		t.Error("the metric does not say it")
	}
}
