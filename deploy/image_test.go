package deploy

import (
	"debug/elf"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gosper/edge/node"
)

// instruction is one line of a Dockerfile.
type instruction struct{ name, rest string }

// dockerfile reads the instructions of the image.
func dockerfile(t *testing.T) (list []instruction) {
	t.Helper()
	for line := range strings.Lines(read(t, "deploy/Dockerfile")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			name, rest, _ := strings.Cut(line, " ")
			list = append(list, instruction{name, strings.TrimSpace(rest)})
		}
	}
	return list
}

// last returns the last instruction of a name, which counts for the image.
func last(t *testing.T, name string) string {
	t.Helper()
	found := ""
	for _, i := range dockerfile(t) {
		if i.name == name {
			found = i.rest
		}
	}
	if found == "" {
		t.Fatalf("Dockerfile: there is no %s", name)
	}
	return found
}

// words reads a list in the form of JSON.
func words(t *testing.T, name, text string) (list []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("Dockerfile: %s %s: %v", name, text, err)
	}
	return list
}

// healthWords are the words of the image's health check.
func healthWords(t *testing.T) []string {
	t.Helper()
	_, command, _ := strings.Cut(last(t, "HEALTHCHECK"), "CMD ")
	return words(t, "HEALTHCHECK", command)
}

// Goal: the image says what the code is. Method: ports, folders, user, words of commands and the version of Go are compared
// with the options, the commands and go.mod.
func TestImage(t *testing.T) {
	o, standard := node.DefaultOptions(), []string{}
	for _, port := range ports(&o) {
		standard = append(standard, strconv.Itoa(port))
	}
	exposed := strings.Fields(last(t, "EXPOSE"))
	slices.Sort(standard)
	slices.Sort(exposed)
	if !slices.Equal(standard, exposed) {
		t.Errorf("Dockerfile: EXPOSE %v, but gosper serve opens %v to others", exposed, standard)
	}
	if folder := last(t, "VOLUME"); last(t, "ENV") != "GOSPER_DATA="+folder {
		t.Errorf("Dockerfile: VOLUME %s is not where the data is", folder)
	}
	if user, _, _ := strings.Cut(last(t, "USER"), ":"); user == "" || user == "0" || user == "root" {
		t.Errorf("Dockerfile: USER %s", user)
	}
	program := words(t, "ENTRYPOINT", last(t, "ENTRYPOINT"))
	health := healthWords(t)
	main := read(t, "cmd/gosper/main.go")
	if len(health) != 2 || health[0] != program[0] || !strings.Contains(main, health[1]+"Command()") {
		t.Errorf("Dockerfile: HEALTHCHECK: %q is no command of gosper", health)
	}
	if command := words(t, "CMD", last(t, "CMD")); !slices.Equal(command, []string{"serve"}) {
		t.Errorf("Dockerfile: CMD %q", command)
	}
	if !strings.Contains(read(t, "deploy/Dockerfile"), "COPY --from=build /out/gosper "+program[0]+"\n") {
		t.Errorf("Dockerfile: ENTRYPOINT: nothing is copied to %s", program[0])
	}
	image := dockerfile(t)[0].rest
	_, wants, _ := strings.Cut(read(t, "go.mod"), "\ngo ")
	wants, _, _ = strings.Cut(wants, ".0\n")
	if !strings.Contains(image, "golang:"+wants+".") {
		t.Errorf("Dockerfile: FROM %s: go.mod wants Go %s", image, wants)
	}
}

// Goal: the command in the Dockerfile builds a program that needs nothing else in its image. Method: run it here, and read from
// the file that no interpreter and no library is asked for.
func TestImageProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles the whole program anew")
	}
	line := ""
	for _, i := range dockerfile(t) {
		if i.name == "RUN" && strings.Contains(i.rest, "go build") {
			line = i.rest
		}
	}
	program := filepath.Join(t.TempDir(), "gosper")
	for was, is := range map[string]string{"$TARGETOS": "linux", "$TARGETARCH": runtime.GOARCH, "/out/gosper": program} {
		if !strings.Contains(line, was) {
			t.Errorf("Dockerfile: RUN %s: no %s", line, was)
		}
		line = strings.ReplaceAll(line, was, is)
	}
	build := exec.Command("sh", "-c", line)
	build.Dir = top
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("Dockerfile: %s: %v\n%s", line, err, out)
	}
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	libraries, err := file.ImportedLibraries()
	if len(libraries) > 0 || slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Errorf("Dockerfile: the program is not static: it needs %v (%v)", libraries, err)
	}
}
