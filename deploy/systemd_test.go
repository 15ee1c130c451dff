package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// unit reads a unit file: the values of each key, whatever its section. A line that is none is an error.
func unit(t *testing.T, name string) map[string][]string {
	t.Helper()
	values := map[string][]string{}
	for line := range strings.Lines(read(t, name)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || regexp.MustCompile(`^\[(Unit|Service|Install)\]$`).MatchString(line) {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			t.Errorf("%s: %q says nothing", name, line)
		}
		values[key] = append(values[key], value)
	}
	return values
}

// Goal: the unit starts what the code is, lets it drain, and gives it no more rights than it needs. Method: command line and
// environment are read by the code, times and folders are compared.
func TestUnit(t *testing.T) {
	const name = "deploy/systemd/gosper.service"
	u := unit(t, name)
	first := func(key string) string {
		if len(u[key]) == 0 {
			t.Errorf("%s: %s is missing", name, key)
			return ""
		}
		return u[key][0]
	}
	command := strings.Fields(first("ExecStart"))
	env := map[string]string{}
	for _, e := range u["Environment"] {
		key, value, _ := strings.Cut(e, "=")
		env[key] = value
	}
	if o, ok := options(t, name, command[1:], env); ok {
		if o.Data != "/var/lib/"+first("StateDirectory") || first("WorkingDirectory") != o.Data {
			t.Errorf("%s: StateDirectory is not where the data is, %s", name, o.Data)
		}
		seconds, err := strconv.Atoi(first("TimeoutStopSec"))
		if err != nil || time.Duration(seconds)*time.Second < o.DrainTimeout+closing {
			t.Errorf("%s: TimeoutStopSec: less than drain-timeout, %v, and %v behind it", name, o.DrainTimeout, closing)
		}
	}
	for key, value := range map[string]string{"Type": "exec", "KillSignal": "SIGTERM", "DynamicUser": "yes", "ProtectSystem": "strict", "NoNewPrivileges": "yes", "Restart": "on-failure"} {
		if first(key) != value {
			t.Errorf("%s: %s=%s, expected %s", name, key, first(key), value)
		}
	}
	if files, err := strconv.Atoi(first("LimitNOFILE")); err != nil || files < 100000 {
		t.Errorf("%s: LimitNOFILE: a connection needs a descriptor", name)
	}
}

// Goal: systemd understands every line of the unit. Method: systemd-analyze verify, where there is one, on a copy that starts a
// program of this machine.
func TestUnitVerified(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("no systemd-analyze: nothing to ask")
		return
	}
	text := strings.ReplaceAll(read(t, "deploy/systemd/gosper.service"), "/usr/local/bin/gosper", "/bin/true")
	file := filepath.Join(t.TempDir(), "gosper.service")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, "verify", "--man=no", file).CombinedOutput(); err != nil || strings.Contains(string(out), "gosper.service:") {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}
