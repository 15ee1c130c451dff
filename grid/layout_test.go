package grid

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"unsafe"
)

// Goal: the offsets that the assembly uses are those of the structs. Method:
// the generator's constants, written out again.
func TestJobLayout(t *testing.T) {
	var life lifeJob
	var plane planeJob
	var pack packJob
	var hash hashJob
	var table ruleTable
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"dst", unsafe.Offsetof(life.dst), 0}, {"cur", unsafe.Offsetof(life.cur), 8},
		{"left", unsafe.Offsetof(life.left), 16}, {"right", unsafe.Offsetof(life.right), 24},
		{"up", unsafe.Offsetof(life.up), 32}, {"down", unsafe.Offsetof(life.down), 56},
		{"cols", unsafe.Offsetof(life.cols), 80}, {"rows", unsafe.Offsetof(life.rows), 88},
		{"table", unsafe.Offsetof(life.table), 96}, {"diff", unsafe.Offsetof(life.diff), 104},
		{"live", unsafe.Offsetof(life.live), 112}, {"births", unsafe.Offsetof(life.births), 120},
		{"born", unsafe.Offsetof(table.born), 0}, {"flip", unsafe.Offsetof(table.flip), 80},
		{"plane", unsafe.Offsetof(plane.plane), 0}, {"life", unsafe.Offsetof(plane.life), 24},
		{"after", unsafe.Offsetof(plane.after), 48}, {"before", unsafe.Offsetof(plane.before), 56},
		{"seen", unsafe.Offsetof(plane.seen), 64}, {"split", unsafe.Offsetof(plane.split), 72},
		{"two", unsafe.Offsetof(noSplits.two), 512}, {"plane rows", unsafe.Offsetof(plane.rows), 152},
		{"out", unsafe.Offsetof(plane.out), 80}, {"plane up", unsafe.Offsetof(plane.up), 88},
		{"plane down", unsafe.Offsetof(plane.down), 112}, {"target", unsafe.Offsetof(plane.target), 136},
		{"plane diff", unsafe.Offsetof(plane.diff), 144},
		{"a", unsafe.Offsetof(pack.a), 0}, {"b", unsafe.Offsetof(pack.b), 8},
		{"t", unsafe.Offsetof(hash.t), 0}, {"key", unsafe.Offsetof(hash.key), 8},
		{"high", unsafe.Offsetof(hash.high), 12}, {"low", unsafe.Offsetof(hash.low), 16},
		{"pack dst", unsafe.Offsetof(pack.dst), 16}, {"n", unsafe.Offsetof(pack.n), 24},
	} {
		if unsafe.Sizeof(uintptr(0)) == 8 && c.got != c.want {
			t.Errorf("%s is at offset %d, the assembly has it at %d", c.name, c.got, c.want)
		}
	}
}

// Goal: the committed assembly is what the generator writes. Method: run it in
// another folder.
func TestGeneratedAssembly(t *testing.T) {
	if runtime.GOARCH != "amd64" || testing.Short() {
		t.Skip("needs the go command on amd64")
	}
	source, err := filepath.Abs("gen")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "gen")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	run := exec.Command(program)
	run.Dir = t.TempDir()
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range []string{"kernel_avx512_amd64.s", "kernel_avx2_amd64.s"} {
		want, err := os.ReadFile(filepath.Join(run.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s is not what grid/gen writes: run go generate ./grid", name)
		}
	}
}
