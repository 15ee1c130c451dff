package target

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"gosper/broker/chain"
)

// Goal: a wrong table is refused with the entry that is wrong. Method: one fault at a time.
func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "",
		`{"services":{"https://a.example":{},"http://a.example":{},"amqps://[::1]":{"login":"x"}},"routes":{"a/*/*":"https://A.example:443/"}}`: "",
		`{"services":{"a.example":{}}}`:                                                "scheme",
		`{"services":{"https://":{}}}`:                                                 "no host",
		`{"services":{"https://u:p@a.example":{}}}`:                                    "is not scheme://host:port",
		`{"services":{"https://a.example/path":{}}}`:                                   "is not scheme://host:port",
		`{"services":{"https://a.example":{},"https://a.example:443":{}}}`:             "twice",
		`{"services":{"https://a.example":{"concurrency":-1}}}`:                        "concurrency",
		`{"services":{"https://a.example":{"concurrency":1025}}}`:                      "concurrency",
		`{"services":{"https://a.example":{"declare":true}}}`:                          "login and declare",
		`{"services":{"https://a.example":{"headers":{"A b":"c"}}}}`:                   "no name of a header",
		`{"services":{"amqp://a.example":{"headers":{"A":"c"}}}}`:                      "headers are for",
		`{"services":{"https://a.example":{}},"routes":{"a/b":"https://a.example"}}`:   "is not application/module/function",
		`{"services":{"https://a.example":{}},"routes":{"a/b/c":"https://b.example"}}`: "not among services",
		`{"services":{"amqp://a.example":{}},"routes":{"a/b/c":"amqp://a.example"}}`:   "only https and http",
	} {
		var s Services
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(text, err)
		}
		if err := s.Check(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// routed has services and routes of every kind.
const routed = `{"services":{"https://orders.example":{},"https://stock.example:8443":{},"http://[fd00::1]:80":{"private":true},"amqp://mq.example":{"login":"x"}},
"routes":{"shop/*/*":"https://orders.example","shop/stock/*":"https://stock.example:8443","*/*/ping":"http://[fd00::1]","*/stock/take":"https://orders.example"}}`

// Goal: an endpoint without URL goes where the route that fits best leads. Method: a table.
func TestRoutes(t *testing.T) {
	s := table(t, routed)
	for endpoint, want := range map[string]string{
		"/shop/api/orders/list": "https://orders.example:443", "/shop/api/stock/list": "https://stock.example:8443", "/shop/api/stock/list?a=/b": "https://stock.example:8443",
		"/bank/api/money/ping": "http://[fd00::1]:80", "/bank/api/stock/take": "https://orders.example:443", "/shop/api/stock/take": "https://orders.example:443",
		"/bank/api/money/take": "", "/shop/stock/list": "", "shop/api/stock/list": "", "/shop/api/stock/list/": "", "/shop/api/stock": "", "": "",
	} {
		p, err := s.find(&chain.Request{Endpoint: endpoint, Type: chain.TypeHTTPS})
		if p.origin != want || (err == nil) != (want != "") {
			t.Errorf("%s: %s, %v", endpoint, p.origin, err)
		}
	}
}

// Fuzz: whatever a request says, it goes to a service of the table or nowhere, and its path cannot change that.
func FuzzFind(f *testing.F) {
	for _, url := range []string{"", "https://orders.example", "https://ORDERS.example:443/", "https://stock.example:8443/a%2f..", "http://[fd00::1]", "amqp://u:p@mq.example/v", "https://orders.example@evil.example"} {
		for _, endpoint := range []string{"/shop/api/stock/take", "@evil.example", "//evil.example", "/a b?c#d", "completion-queue"} {
			f.Add(url, endpoint, uint8(len(url)))
		}
	}
	s := table(f, routed)
	g := New(Options{})
	f.Fuzz(func(t *testing.T, url, endpoint string, kind uint8) {
		r := chain.Request{URL: url, Endpoint: endpoint, Type: []string{chain.TypeHTTPS, chain.TypeHTTP, chain.TypeAMQP}[kind%3], Method: http.MethodPost}
		p, err := s.find(&r)
		if err != nil {
			return
		}
		if _, ok := s.Services[p.origin]; !ok {
			t.Fatalf("%+v goes to %q", r, p.origin)
		}
		if r.Type == chain.TypeAMQP {
			if address, err := g.address(p); err == nil && !strings.Contains(address, strings.TrimPrefix(p.origin, "amqp://")) {
				t.Fatalf("%+v goes to %s", r, address)
			}
			return
		}
		q, _, err := g.newRequest(t.Context(), &chain.Step{Key: "k", Request: r}, p)
		if err == nil && (q.URL.Scheme+"://"+q.URL.Host != p.origin || q.URL.User != nil) {
			t.Fatalf("%+v goes to %s", r, q.URL)
		}
	})
}
