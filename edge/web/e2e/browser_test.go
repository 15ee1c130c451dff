package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// patience is how long a test waits for something the page should do. Generous: it only costs when a test fails.
const patience = 30 * time.Second

// browser is the one Chromium of this package, started by the first test that wants a page.
var browser struct {
	once   sync.Once
	ctx    context.Context
	cancel func()
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if browser.cancel != nil {
		browser.cancel()
	}
	if binary.dir != "" {
		_ = os.RemoveAll(binary.dir)
	}
	os.Exit(code)
}

// chromium returns the path of a Chromium or Chrome, "" without one. CHROMIUM names another.
func chromium() string {
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	return ""
}

func startBrowser(path string) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.WindowSize(1280, 800),
		chromedp.WSURLReadTimeout(time.Minute), // a busy machine
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...) // its own user-data-dir, removed at the end
	browser.ctx, _ = chromedp.NewContext(allocator)
	browser.err = chromedp.Run(browser.ctx)
	browser.cancel = func() {
		_ = chromedp.Cancel(browser.ctx) // asks Chromium to go and waits
		stop()
	}
}

// page is one browser page with storage of its own, like a visitor of its own.
type page struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string // errors of the console
	allowed  []string // parts of errors that the test provokes
}

// newPage opens an empty page. When the test ends it fails if the console had an error that was not allowed.
func newPage(t *testing.T, allowed ...string) *page {
	t.Helper()
	path := chromium()
	if path == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("no Chromium: these tests must not be skipped in CI")
		}
		t.Skip("no Chromium on the PATH (set CHROMIUM to name one)")
	}
	browser.once.Do(func() { startBrowser(path) })
	if browser.err != nil {
		t.Fatalf("Chromium did not start: %v", browser.err)
	}
	id, err := newWindow()
	if err != nil {
		t.Fatalf("new window: %v", err)
	}
	ctx, cancel := chromedp.NewContext(browser.ctx, chromedp.WithTargetID(id))
	p := &page{t: t, ctx: ctx, allowed: allowed}
	chromedp.ListenTarget(ctx, p.listen)
	if err := chromedp.Run(ctx, log.Enable(), runtime.Enable()); err != nil {
		t.Fatalf("new page: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			p.describe()
		}
		cancel()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, problem := range p.problems {
			t.Errorf("console: %s", problem)
		}
	})
	return p
}

// newWindow opens a window in a browser context of its own: other storage, other cache. A new context has no window yet,
// in which Chromium refuses to open a tab.
func newWindow() (target.ID, error) {
	var id target.ID
	err := chromedp.Run(browser.ctx, chromedp.ActionFunc(func(ctx context.Context) error {
		ctx = cdp.WithExecutor(ctx, chromedp.FromContext(ctx).Browser)
		visitor, err := target.CreateBrowserContext().WithDisposeOnDetach(true).Do(ctx)
		if err != nil {
			return err
		}
		id, err = target.CreateTarget("about:blank").WithBrowserContextID(visitor).WithNewWindow(true).Do(ctx)
		return err
	}))
	return id, err
}

func (p *page) listen(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.note(e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError {
			var words []string
			for _, arg := range e.Args {
				words = append(words, arg.Description+string(arg.Value))
			}
			p.note(strings.Join(words, " "))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError {
			p.note(e.Entry.Text + " " + e.Entry.URL)
		}
	}
}

func (p *page) note(problem string) {
	for _, part := range p.allowed {
		if strings.Contains(problem, part) {
			return
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = append(p.problems, problem)
}

// describe logs what a failed test's page shows.
func (p *page) describe() {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	var text string
	if err := chromedp.Run(ctx, chromedp.Evaluate(`document.body.innerText`, &text)); err == nil {
		p.t.Logf("the page shows:\n%s", text)
	}
}

// run runs actions, which may wait for as long as the patience of the tests.
func (p *page) run(actions ...chromedp.Action) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 4*patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// eval runs JavaScript (the body of an async function) and decodes what it returns into out, unless that is nil.
func (p *page) eval(script string, out any) {
	p.t.Helper()
	var raw []byte
	await := func(params *runtime.EvaluateParams) *runtime.EvaluateParams { return params.WithAwaitPromise(true) }
	p.run(chromedp.Evaluate("(async () => {"+script+"\n})().then((value) => JSON.stringify(value ?? null))", &raw, await))
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		p.t.Fatalf("%s: %s: %v", script, raw, err)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal([]byte(text), out); err != nil {
		p.t.Fatalf("%s: %s: %v", script, text, err)
	}
}

// until waits until the JavaScript expression is true. The page looks by itself, so nothing is polled from here.
func (p *page) until(expression string) {
	p.t.Helper()
	p.eval(fmt.Sprintf(`
		const end = Date.now() + %d;
		while (!(%s)) {
			if (Date.now() > end) throw new Error('never true: ' + %s);
			await new Promise((next) => setTimeout(next, 15));
		}`, patience.Milliseconds(), expression, quote(expression)), nil)
}

// set puts a value into the field that a selector finds.
func (p *page) set(selector, value string) {
	p.t.Helper()
	p.eval(fmt.Sprintf(`document.querySelector(%s).value = %s`, quote(selector), quote(value)), nil)
}

// click clicks what a selector finds, as a mouse does, when it stands still and nothing covers it: a player sees that, and
// a browser that is told to click at a place does not.
func (p *page) click(selector string) {
	p.t.Helper()
	p.still(selector)
	p.run(chromedp.Click(selector, chromedp.ByQuery))
}

// still waits until what a selector finds has kept its place for some frames and would get a click.
func (p *page) still(selector string) {
	p.t.Helper()
	p.eval(fmt.Sprintf(`
		const end = Date.now() + %d;
		for (let seen = '', times = 0; times < 3;) {
			if (Date.now() > end) throw new Error('cannot be clicked: ' + %[2]s);
			await new Promise((next) => requestAnimationFrame(next));
			const element = document.querySelector(%[2]s);
			element?.scrollIntoView({ block: 'nearest', behavior: 'instant' });
			const { x, y, width, height } = element?.getBoundingClientRect() ?? {};
			const place = [x, y, width, height].join();
			const hit = width && document.elementFromPoint(x + width / 2, y + height / 2);
			times = place === seen && hit && (element.contains(hit) || hit.closest('label')?.control === element) ? times + 1 : 0;
			seen = place;
		}`, patience.Milliseconds(), quote(selector)), nil)
}

// view makes the page a phone or a desktop of this size in CSS pixels, in light or dark.
func (p *page) view(width, height int64, scheme string) {
	p.t.Helper()
	p.run(
		chromedp.EmulateViewport(width, height),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
	)
}

// quote makes a JavaScript string.
func quote(s string) string {
	b, _ := json.Marshal(s) // a string always has a JSON form
	return string(b)
}
