package browser

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// Look is how a page is looked at.
type Look struct {
	Width, Height int
	Dark          bool
	// Mobile lays out as a telephone does; NoScript runs no JavaScript.
	Mobile, NoScript bool
}

// Page is one tab.
type Page struct {
	b       *Browser
	session string
	target  string

	mu       sync.Mutex
	problems []string
	loaded   chan struct{}
}

// Open opens an empty tab.
func (b *Browser) Open(ctx context.Context, look Look) (*Page, error) {
	var target struct{ TargetID string }
	if err := b.call(ctx, "", "Target.createTarget", map[string]any{"url": "about:blank"}, &target); err != nil {
		return nil, err
	}
	var attached struct{ SessionID string }
	if err := b.call(ctx, "", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached); err != nil {
		return nil, err
	}
	p := &Page{b: b, session: attached.SessionID, target: target.TargetID, loaded: make(chan struct{}, 16)}
	b.mu.Lock()
	b.pages[p.session] = p
	b.mu.Unlock()
	scheme := "light"
	if look.Dark {
		scheme = "dark"
	}
	for _, c := range []struct {
		method string
		params map[string]any
	}{
		{"Page.enable", nil}, {"Runtime.enable", nil}, {"Log.enable", nil}, {"Network.enable", nil},
		{"Emulation.setDeviceMetricsOverride", map[string]any{"width": look.Width, "height": look.Height, "deviceScaleFactor": 1, "mobile": look.Mobile}},
		{"Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}}}},
		{"Emulation.setScriptExecutionDisabled", map[string]any{"value": look.NoScript}},
	} {
		if c.params == nil {
			c.params = map[string]any{}
		}
		if err := p.call(ctx, c.method, c.params, nil); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *Page) call(ctx context.Context, method string, params, result any) error {
	return p.b.call(ctx, p.session, method, params, result)
}

// Close closes the tab.
func (p *Page) Close(ctx context.Context) error {
	return p.b.call(ctx, "", "Target.closeTarget", map[string]any{"targetId": p.target}, nil)
}

// happened takes note of what a test wants to know of.
func (p *Page) happened(e event) {
	switch e.Method {
	case "Page.loadEventFired":
		select {
		case p.loaded <- struct{}{}:
		default:
		}
	case "Log.entryAdded":
		var entry struct {
			Entry struct{ Level, Text, URL string }
		}
		if err := json.Unmarshal(e.Params, &entry); err != nil || entry.Entry.Level == "error" || entry.Entry.Level == "warning" {
			p.problem("log: " + entry.Entry.Text + " " + entry.Entry.URL)
		}
	case "Runtime.consoleAPICalled":
		var said struct{ Type string }
		if err := json.Unmarshal(e.Params, &said); err != nil || slices.Contains([]string{"error", "warning", "assert"}, said.Type) {
			p.problem("console: " + string(e.Params))
		}
	case "Runtime.exceptionThrown":
		p.problem("exception: " + string(e.Params))
	case "Page.javascriptDialogOpening":
		p.problem("dialog: " + string(e.Params))
	}
}

func (p *Page) problem(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = append(p.problems, text)
}

// Problems are what the page complained of so far: errors and warnings of the console, exceptions, what a Content-Security-Policy has kept off, what couldn't be loaded, and dialogs.
func (p *Page) Problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.problems)
}

// Go loads url and returns once it and all that belongs to it is loaded.
func (p *Page) Go(ctx context.Context, url string) error {
	for len(p.loaded) > 0 {
		<-p.loaded
	}
	var to struct{ ErrorText string }
	if err := p.call(ctx, "Page.navigate", map[string]any{"url": url}, &to); err != nil {
		return err
	}
	if to.ErrorText != "" {
		return fmt.Errorf("open %s: %s", url, to.ErrorText)
	}
	select {
	case <-p.loaded:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("open %s: %w", url, ctx.Err())
	}
}

// Eval evaluates a JavaScript expression, awaits it where it is a promise, and reads its value into v. It does so also where the page's own scripts don't run.
func (p *Page) Eval(ctx context.Context, expression string, v any) error {
	var got struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	if err := p.call(ctx, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &got); err != nil {
		return err
	}
	if got.ExceptionDetails != nil {
		return fmt.Errorf("evaluate %s: %s", expression, got.ExceptionDetails)
	}
	return json.Unmarshal(got.Result.Value, v)
}

// Until evaluates an expression until it is true.
func (p *Page) Until(ctx context.Context, expression string) error {
	for {
		var is bool
		if err := p.Eval(ctx, expression, &is); err != nil {
			return err
		}
		if is {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", expression, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Screenshot writes what is seen of the page to a PNG file; with whole, all of the page.
func (p *Page) Screenshot(ctx context.Context, file string, whole bool) error {
	var shot struct{ Data string }
	if err := p.call(ctx, "Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": whole}, &shot); err != nil {
		return err
	}
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		return err
	}
	return os.WriteFile(file, png, 0o644)
}

// Prepare has each page that is loaded from now on run script before any of its own.
func (p *Page) Prepare(ctx context.Context, script string) error {
	return p.call(ctx, "Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": script}, nil)
}

// Roles counts what a page is to a screen reader, by the roles of WAI-ARIA.
func (p *Page) Roles(ctx context.Context) (map[string]int, error) {
	var tree struct {
		Nodes []struct {
			Ignored bool
			Role    struct{ Value string }
		}
	}
	if err := p.call(ctx, "Accessibility.getFullAXTree", map[string]any{}, &tree); err != nil {
		return nil, err
	}
	n := map[string]int{}
	for _, node := range tree.Nodes {
		if !node.Ignored {
			n[node.Role.Value]++
		}
	}
	return n, nil
}
