package node

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// writeFile writes a file into a fresh folder and returns its name.
func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Goal: a flag wins over the environment, that over the file, that over the default, in both file formats. Method: one
// option set at each level, one level less each time.
func TestPrecedence(t *testing.T) {
	for _, file := range []string{
		writeFile(t, "gosper.yaml", "line-addr: :3\nlimit:\n  line-bytes: 1000\nseveral-logins: true\norigins: https://a.example,https://b.example\n"),
		writeFile(t, "gosper.yml", "line-addr: ':3'\nlimit-line-bytes: 1000\nseveral-logins: true\norigins: https://a.example,https://b.example\n"),
		writeFile(t, "gosper.toml", "line-addr = \":3\"\nseveral-logins = true\norigins = \"https://a.example,https://b.example\"\n[limit]\nline-bytes = 1000\n"),
	} {
		parse := func(args ...string) Options {
			o := DefaultOptions()
			if _, err := o.Parse(args, nil); err != nil {
				t.Fatal(file, err)
			}
			return o
		}
		t.Setenv("GOSPER_LINE_ADDR", ":2")
		if got := parse("--line-addr", ":1", "--config", file).LineAddr; got != ":1" {
			t.Errorf("%s: flag gives %q", file, got)
		}
		if got := parse("--config", file).LineAddr; got != ":2" {
			t.Errorf("%s: environment gives %q", file, got)
		}
		t.Setenv("GOSPER_LINE_ADDR", "")
		o := parse("--config", file)
		if o.LineAddr != ":3" || o.Limits.LineBytes != 1000 || !o.Functions.SeveralLogins || fmt.Sprint(o.Origins) != "[https://a.example https://b.example]" {
			t.Errorf("%s: file gives %q %d %v", file, o.LineAddr, o.Limits.LineBytes, o.Origins)
		}
		t.Setenv("GOSPER_CONFIG", file)
		if got := parse().LineAddr; got != ":3" {
			t.Errorf("%s: named by the environment gives %q", file, got)
		}
		t.Setenv("GOSPER_CONFIG", "")
		if got := parse().LineAddr; got != ":9000" {
			t.Errorf("default is %q", got)
		}
	}
}

// Goal: what nobody knows and what cannot be is refused with its name. Method: bad flags, keys, files and values.
func TestBadSettings(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--no-such"}, "no-such"},
		{[]string{"--config", writeFile(t, "a.yaml", "no-such: 1\n")}, "no-such"},
		{[]string{"--config", writeFile(t, "a.toml", "[limit]\nno-such = 1\n")}, "limit-no-such"},
		{[]string{"--config", writeFile(t, "a.yaml", "\t: x")}, "a.yaml"},
		{[]string{"--config", writeFile(t, "a.json", "{}")}, ".yaml, .yml or .toml"},
		{[]string{"--config", "/no/such/file.yaml"}, "no such file"},
		{[]string{"--limit-line-bytes", "x"}, "limit-line-bytes"},
		{[]string{"--limit-line-bytes", "1"}, "limit-line-bytes"},
		{[]string{"--log-level", "loud"}, "log-level"},
		{[]string{"--proxy-from", "10.0.0.0/33"}, "proxy-from"},
		{[]string{"--secret", "0123456789abcdef"}, "secret"},
		{[]string{"--internal-token=x"}, "internal-token"},
	} {
		o := DefaultOptions()
		if _, err := o.Parse(test.args, nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: error %v, want %q in it", test.args, err, test.want)
		}
	}
	o := DefaultOptions()
	if _, err := o.Parse([]string{"--secret", "x"}, nil); !errors.Is(err, ErrSecretArgument) {
		t.Error("secret as an argument:", err)
	}
	if _, err := o.Parse([]string{"--help"}, nil); !errors.Is(err, flag.ErrHelp) {
		t.Error("help:", err)
	}
}

// Goal: Validate names the option that cannot be. Method: one bad value at a time.
func TestValidate(t *testing.T) {
	good := DefaultOptions()
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Options){
		"data":           func(o *Options) { o.Data = "" },
		"line-addr":      func(o *Options) { o.LineAddr = "9000" },
		"http-addr":      func(o *Options) { o.HTTPAddr = ":99999" },
		"internal-addr":  func(o *Options) { o.InternalAddr = ":8080" },
		"internal-token": func(o *Options) { o.InternalAddr = ":8000" },
		"https-addr":     func(o *Options) { o.HTTPSAddr = ":8443" },
		"tls-line-addr":  func(o *Options) { o.TLSLineAddr = ":9443" },
		"tls-cert":       func(o *Options) { o.TLSCert = "x" },
		"secret":         func(o *Options) { o.Secret = "short" },
		"origins":        func(o *Options) { o.Origins = []string{"https://a.example/"} },
		"loops":          func(o *Options) { o.Loops = 65 },
		"drain-timeout":  func(o *Options) { o.DrainTimeout = 0 },
		"log-format":     func(o *Options) { o.LogFormat = "xml" },
		"free-disk":      func(o *Options) { o.FreeDisk = 0 },
		"commit-timeout": func(o *Options) { o.CommitTimeout = 0 },
		"functions":      func(o *Options) { o.Functions.Workers = 0 },
		"limit-games":    func(o *Options) { o.Games.GridSide = 0 },
		"games-memory":   func(o *Options) { o.GamesMemory = 0 },
		"game-workers":   func(o *Options) { o.GameWorkers = -1 },
		"store":          func(o *Options) { o.Store = "nats://localhost" },
		"store: must be": func(o *Options) { o.Bus, o.Store = "redis://localhost", "redis://localhost" },
		"node":           func(o *Options) { o.Node = "a.b" },
		"limit-":         func(o *Options) { o.Limits.LineBytes = 1 },
	} {
		o := DefaultOptions()
		change(&o)
		if err := o.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}

// Goal: every option is described, can be set to what it prints, and hides secrets. Method: set each to its own value.
func TestSettingsRoundTrip(t *testing.T) {
	o := DefaultOptions()
	o.Secret, o.InternalToken, o.SMTPPassword = "a secret that nobody sees", "another", "a third"
	o.BusPassword, o.RegistryPassword, o.StorePassword = "a fourth", "a fifth", "a sixth"
	values := o.Values()
	for _, s := range Settings() {
		value, known := values[s.Name]
		if !known || s.Help == "" || s.Group == "" {
			t.Errorf("%s is not described", s.Name)
		}
		if s.Secret {
			if value != "(hidden)" {
				t.Errorf("%s shows %q", s.Name, value)
			}
			continue
		}
		other := DefaultOptions()
		if _, err := other.Parse([]string{"--" + s.Name + "=" + value}, nil); err != nil || other.Values()[s.Name] != value {
			t.Errorf("%s=%s: %v, gives %q", s.Name, value, err, other.Values()[s.Name])
		}
	}
	if text := fmt.Sprintf("%v %+v %s", o, o, o.Secret); strings.Contains(text, "nobody sees") {
		t.Error("printing options shows the secret")
	}
}

// Goal: the first start makes one secret that only the owner can read, whoever starts at the same time. Method: many
// starters, then modes and contents.
func TestSecretFile(t *testing.T) {
	o := DefaultOptions()
	o.Data = t.TempDir()
	var wait sync.WaitGroup
	secrets := make([]string, 8)
	for i := range secrets {
		wait.Go(func() {
			b, err := loadSecret(&o)
			if err != nil {
				t.Error(err)
			}
			secrets[i] = string(b)
		})
	}
	wait.Wait()
	for _, s := range secrets {
		if s != secrets[0] || len(s) != 64 {
			t.Fatalf("secrets %q", secrets)
		}
	}
	name := filepath.Join(o.Data, "secret")
	info, err := os.Stat(name)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(o.Data); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if err := os.Chmod(name, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := loadSecret(&o); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Error("readable by the group:", err)
	}
	if err := errors.Join(os.Chmod(name, 0o600), os.WriteFile(name, []byte("short\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := loadSecret(&o); err == nil {
		t.Error("a short secret was taken")
	}
	o.SecretFile = filepath.Join(o.Data, "missing")
	if _, err := loadSecret(&o); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a named file that is missing:", err)
	}
	o.Secret = "from the environment"
	if b, err := loadSecret(&o); err != nil || string(b) != "from the environment" {
		t.Error("option:", string(b), err)
	}
}
