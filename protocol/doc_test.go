package protocol

import (
	"fmt"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// docTable returns the rows of the first table under a heading of the package documentation.
func docTable(t *testing.T, heading string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(file.Doc.Text(), "\n# "+heading+"\n")
	if !found {
		t.Fatalf("no heading %q", heading)
	}
	var rows []string
	for _, line := range strings.Split(section, "\n") {
		if row, ok := strings.CutPrefix(line, "\t"); ok {
			rows = append(rows, row)
		} else if len(rows) > 0 {
			break
		}
	}
	return rows
}

func compareRows(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("the table of doc.go differs from the code, which says:\n//\t%s", strings.Join(want, "\n//\t"))
	}
}

// Goal: the documentation says what the code does. Method: each table of doc.go against the constants.
func TestDocumentedCloseCodes(t *testing.T) {
	var want []string
	for _, c := range CloseCodes() {
		reconnect := "no"
		if c.Reconnect {
			reconnect = "yes"
		}
		want = append(want, fmt.Sprintf("%-4d  %-16s  %-3s  %s", c.Code, c.Name, reconnect, c.Meaning))
	}
	compareRows(t, docTable(t, "Close codes"), want)
}

func TestDocumentedStatuses(t *testing.T) {
	var want []string
	for _, s := range Statuses() {
		want = append(want, fmt.Sprintf("%-4d  %-18s  %s", s.Status, s.Name, s.Meaning))
	}
	compareRows(t, docTable(t, "Statuses"), want)
}

func TestDocumentedCommands(t *testing.T) {
	var got []string
	for _, row := range docTable(t, "Lines") {
		command, rest, _ := strings.Cut(row, "  ")
		if c := ParseCommand([]byte(command)); c == CmdUnknown || !strings.HasPrefix(rest, "C  ") && !strings.HasPrefix(rest, "S  ") {
			t.Errorf("row %q", row)
		}
		if len(got) == 0 || got[len(got)-1] != command {
			got = append(got, command)
		}
	}
	var want []string
	for _, c := range Commands() {
		want = append(want, c.String())
	}
	compareRows(t, got, want)
}

func TestDocumentedLimits(t *testing.T) {
	value := map[string]int{
		"CommandSize": CommandSize, "MaxPing": MaxPing, "MaxName": MaxName, "MaxDisplayName": MaxDisplayName, "MaxRoute": MaxRoute,
		"MaxClientCode": MaxClientCode, "MaxFunction": MaxFunction, "MaxDepth": MaxDepth, "MaxControl": MaxControl,
		"MaxCloseReason": MaxCloseReason, "MaxFrameHeader": MaxFrameHeader, "DefaultMessage": DefaultMessage, "JobIDSize": JobIDSize,
		"GridHeaderSize": GridHeaderSize,
	}
	rows := docTable(t, "Names and limits")
	for _, row := range rows {
		f := strings.Fields(row)
		if v, ok := value[f[0]]; !ok || fmt.Sprint(v) != f[1] {
			t.Errorf("row %q, the constant is %d", row, v)
		}
	}
	if len(rows) != len(value) {
		t.Errorf("%d rows for %d limits", len(rows), len(value))
	}
}

// Goal: the examples of the documentation parse. Method: the sample conversation line by line.
func TestDocumentedConversation(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, row := range strings.Split(file.Doc.Text(), "\n") {
		frame, ok := strings.CutPrefix(strings.TrimPrefix(row, "\tC "), "\tS ")
		if !ok && frame == row || len(frame) < CommandSize {
			continue
		}
		lines++
		frame = strings.ReplaceAll(frame, "{…}", "{}")
		cmd, payload, _, err := CutLine([]byte(frame+"\r\n"), 8192)
		if err != nil {
			t.Errorf("%s: %v", frame, err)
		}
		switch cmd {
		case CmdCall:
			_, err = ParseRequest(payload)
		case CmdReply:
			_, err = ParseEnvelope(payload)
		}
		if err != nil {
			t.Errorf("%s: %v", frame, err)
		}
	}
	if lines != 7 {
		t.Errorf("%d lines of a conversation", lines)
	}
}
