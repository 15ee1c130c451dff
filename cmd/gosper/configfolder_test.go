package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Goal: the check of a folder says of each file what a node would make of it, and fails when one is no good. Method: folders
// with one kind of file each.
func TestConfigCheckFolder(t *testing.T) {
	for _, test := range []struct {
		file, data string
		code       int
		want       string
	}{
		{"gift.json", `{}`, exitOK, "in force"},
		{"building.json", `{"house":[{"seconds":5,"pattern":"block"}]}`, exitOK, "in force (figures of functions)"},
		{"gift@2999-01-01.json", `{}`, exitOK, "from 2999-01-01 on"},
		{"gift.json", `{`, exitError, "broken: is not JSON: line 1"},
		{"building@2999-01-01.json", `{"house":[]}`, exitError, "broken: building"},
		{"version.json", `{"soon":{"client":"1"}}`, exitError, "write it as 2026-11-01"},
		{"gift@tomorrow.json", `{}`, exitError, "is not read: call it"},
		{"readme.md", ``, exitOK, "the folder is good"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, test.file), []byte(test.data), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := run0("config", "check", dir)
		if code != test.code || !strings.Contains(out, test.want) || (errs == "") != (code == exitOK) {
			t.Errorf("%s %s: exit %d, %q %q", test.file, test.data, code, out, errs)
		}
	}
	if code, _, errs := run0("config", "check", filepath.Join(t.TempDir(), "none")); code != exitError || !strings.Contains(errs, "no such file") {
		t.Errorf("no folder: exit %d, %q", code, errs)
	}
}
