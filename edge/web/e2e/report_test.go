package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// Goal: the page of measurements opens without an error, shows its pictures, profiles and bounds, fits desktops and phones,
// dark and light, and is printed without the JSON at its end.
// Method: the page of a small report that is kept for this, made by the built binary and opened as a file.
func TestReportPage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.html")
	if output, err := exec.Command(gosper(t), "bench", "page", "../../../bench/testdata/report.json", "--report", file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	p := newPage(t)
	for _, c := range []struct {
		name          string
		width, height int64
		scheme, media string
	}{{"desktop", 1280, 900, "light", "screen"}, {"phone", 390, 844, "dark", "screen"}, {"small phone", 320, 568, "light", "screen"}, {"paper", 794, 1123, "light", "print"}} {
		p.run(chromedp.EmulateViewport(c.width, c.height),
			emulation.SetEmulatedMedia().WithMedia(c.media).WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: c.scheme}}),
			chromedp.Navigate("file://"+file))
		var seen struct {
			Title, Paper         string
			Width, Plots, Tables int64
			Profiles, Bounds     int64
			Raw                  bool // the JSON is shown
			Broken               []string
		}
		p.eval(`for (const d of document.querySelectorAll("details:not(.raw)")) d.open = true;
			return {title: document.title, paper: getComputedStyle(document.body).backgroundColor,
				width: document.documentElement.scrollWidth, plots: document.querySelectorAll("svg.plot").length,
				tables: document.querySelectorAll("table").length, profiles: document.querySelectorAll(".hot").length,
				bounds: [...document.querySelectorAll("td .quiet")].filter(e => e.textContent.startsWith("bound: ")).length,
				raw: document.querySelector(".raw").checkVisibility(),
				broken: [...document.querySelectorAll("svg *")].flatMap(e => [...e.attributes]).filter(a => /NaN|Inf/.test(a.value)).map(a => a.name + "=" + a.value)}`, &seen)
		if seen.Title == "" || seen.Plots < 10 || seen.Tables < 10 || seen.Profiles != 6 || seen.Bounds < 5 || seen.Raw != (c.media == "screen") || len(seen.Broken) > 0 {
			t.Errorf("%s: %+v", c.name, seen)
		}
		if seen.Width > c.width {
			t.Errorf("%s: the page is %d wide", c.name, seen.Width)
		}
		if dark := seen.Paper != "rgb(255, 255, 255)"; dark != (c.scheme == "dark") {
			t.Errorf("%s: the paper of %s is %s", c.name, c.scheme, seen.Paper)
		}
	}
}
