package chain

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The example of the pattern's text: a POST to a service, then a publish to a queue.
func example() Work {
	w := Work{Items: []Item{
		{Order: 1, Request: Request{"https://shop.example", "/orders/api/stock/reserve", TypeHTTPS, "POST", `{"sku":"A1","n":2}`}},
		{Order: 2, Request: Request{"amqp://broker.example:5672", "completion-queue", TypeAMQP, "publish", "done"}},
	}}
	w.Seal()
	return w
}

// Goal: both encodings say the same. Method: a message with every member goes out and comes in again, both ways.
func TestWorkRoundTrip(t *testing.T) {
	full := example()
	full.Items[0].Options = ItemOptions{Timeout: time.Second, Attempts: 3, Backoff: 10 * time.Millisecond, MaxBackoff: time.Minute,
		OnFailure: Compensate, Await: true, Compensate: &Request{"https://shop.example", "/orders/api/stock/free", TypeHTTPS, "POST", `<&>"é` + "\u2028\b"}}
	full.Options = Options{Deadline: time.Hour, Webhook: "https://shop.example/hook"}
	full.Seal()
	for _, w := range []Work{example(), full} {
		for name, b := range map[string][]byte{"json": AppendWork(nil, &w), "protobuf": AppendProtoWork(nil, &w)} {
			got, err := ParseWork(b, Limits{})
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if diff := cmp.Diff(w, got); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}

// Goal: the hash is one that other languages make. Method: the MD5 of the canonical text, written out by hand and hashed
// with md5sum, for items whose members come in another order, with blanks and escapes.
func TestHash(t *testing.T) {
	items := `[ {"request": {"url":"https:\/\/a.example","type":"HTTPS","payload":"\u00e9","method":"POST","endpoint":"/x"}, "order": 1.0} ]`
	canonical := `[{"order":1,"request":{"endpoint":"/x","method":"POST","payload":"é","type":"HTTPS","url":"https://a.example"}}]`
	b, err := Canonical(nil, []byte(items))
	if err != nil || string(b) != canonical {
		t.Fatalf("Canonical = %s, %v", b, err)
	}
	const md5sum = "7c2e85df7c6769ef4002a229aa31c75a"
	if hash, err := HashOf([]byte(items)); err != nil || hash != md5sum {
		t.Errorf("HashOf = %s, %v, want %s", hash, err, md5sum)
	}
}

// Goal: the canonical form is that of RFC 8785. Method: its rules for names, numbers and texts, one by one.
func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		`{"b":1,"a":[true,false,null]}`:                                          `{"a":[true,false,null],"b":1}`,
		`{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"ö":7}`: `{"\r":2,"1":4,"` + "\u0080" + `":6,"ö":7,"€":1,"😀":5,"` + "\ufb33" + `":3}`,
		`[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001,-0]`:   `[333333333.3333333,1e+30,4.5,0.002,1e-27,0]`,
		`"\u0001\b\f\n\r\t\"\\\/<>&\u2028"`:                                      `"\u0001\b\f\n\r\t\"\\/<>&` + "\u2028" + `"`,
	} {
		got, err := Canonical(nil, []byte(in))
		if err != nil || string(got) != want {
			t.Errorf("Canonical(%s) = %s, %v, want %s", in, got, err, want)
		}
	}
	for _, bad := range []string{"", "[1,]", `{"a":1,}`, "1e999", "\x0a", "{} {}", strings.Repeat("[", 1000)} {
		if got, err := Canonical(nil, []byte(bad)); err == nil {
			t.Errorf("Canonical(%q) = %s, want an error", bad, got)
		}
	}
}

// Goal: every message that cannot be is refused, with what is wrong and where. Method: one fault each.
func TestParseWorkRefuses(t *testing.T) {
	w := example()
	good := string(AppendWork(nil, &w))
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", "neither valid JSON"},
		{"comma", `{"work_message":{"hash":"x","items":[1,]}}`, "comma"},
		{"no message", `{}`, "work_message is missing"},
		{"null", `{"work_message":null}`, "work_message is missing"},
		{"no items", `{"work_message":{"hash":"x"}}`, "at least one"},
		{"items of another kind", `{"work_message":{"hash":"x","items":{}}}`, "items"},
		{"hash", strings.Replace(good, w.Hash, strings.Repeat("0", 32), 1), "hash: is not the MD5"},
		{"upper-case hash", strings.Replace(good, w.Hash, strings.ToUpper(w.Hash), 1), "hash: is not the MD5"},
		{"no order", strings.Replace(good, `"order":1,`, "", 1), "items[0]: order is missing"},
		{"negative order", strings.Replace(good, `"order":1`, `"order":-1`, 1), "order: -1"},
		{"order of text", strings.Replace(good, `"order":1`, `"order":"1"`, 1), "order must not be string"},
		{"huge order", strings.Replace(good, `"order":1`, `"order":1000001`, 1), "order: 1000001"},
		{"type", strings.Replace(good, `"HTTPS"`, `"FTP"`, 1), `"FTP"`},
		{"method of AMQP", strings.Replace(good, `"publish"`, `"get"`, 1), "not publish"},
		{"queue", strings.Replace(good, `"completion-queue"`, `""`, 1), "name of a queue"},
		{"on_failure", strings.Replace(good, `"order":1,`, `"options":{"on_failure":"cry"},"order":1,`, 1), "on_failure"},
		{"time", strings.Replace(good, `"order":1,`, `"options":{"timeout_ms":-5},"order":1,`, 1), "timeout_ms"},
		{"long time", strings.Replace(good, `"order":1,`, `"options":{"timeout_ms":9223372036854775807},"order":1,`, 1), "timeout_ms"},
		{"attempts", strings.Replace(good, `"order":1,`, `"options":{"attempts":1000},"order":1,`, 1), "attempts"},
		{"protobuf cut", string(AppendProtoWork(nil, &w)[:40]), "protobuf"},
		{"protobuf of another message", string(AppendProtoCompletion(nil, w.Hash, nil)), "work_message is missing"},
		{"protobuf of two types", "\x0a\x02\x08\x01", "not UTF-8 text"},
	} {
		_, err := ParseWork([]byte(c.in), Limits{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// Goal: each limit is exact. Method: messages at the limit and one beyond it.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit Limits
		work  func(n int) Work
		at    int
	}{
		{"items", Limits{Items: 7}, func(n int) Work { return Work{Items: make([]Item, n)} }, 7},
		{"payload", Limits{Payload: 5}, func(n int) Work {
			return Work{Items: []Item{{Request: Request{Payload: strings.Repeat("x", n)}}}}
		}, 5},
		{"order", Limits{}, func(n int) Work { return Work{Items: []Item{{Order: n}}} }, MaxOrder},
		{"url", Limits{}, func(n int) Work {
			return Work{Items: []Item{{Request: Request{URL: strings.Repeat("u", n)}}}}
		}, maxURL},
	} {
		for _, over := range []int{0, 1} {
			w := c.work(c.at + over)
			for i := range w.Items {
				w.Items[i].Request.Type = TypeHTTPS
			}
			w.Seal()
			if _, err := ParseWork(AppendWork(nil, &w), c.limit); (err != nil) != (over == 1) {
				t.Errorf("%s, %d over the limit: %v", c.name, over, err)
			}
		}
	}
	w := example()
	b := AppendWork(nil, &w)
	if _, err := ParseWork(b, Limits{Message: len(b)}); err != nil {
		t.Error(err)
	}
	if _, err := ParseWork(b, Limits{Message: len(b) - 1}); err == nil {
		t.Error("a message over the limit was taken")
	}
}

// Goal: lax mode carries any plain hash unchanged. Method: some that are, some that are not.
func TestLax(t *testing.T) {
	w := example()
	for hash, ok := range map[string]bool{"order-17": true, strings.Repeat("h", 64): true, "": false, strings.Repeat("h", 65): false, "a/b": false, "a b": false, "ä": false} {
		w.Hash = hash
		got, err := ParseWork(AppendWork(nil, &w), Limits{Lax: true})
		if (err == nil) != ok || ok && got.Hash != hash {
			t.Errorf("hash %q: %q, %v", hash, got.Hash, err)
		}
	}
}

// Goal: answers have the reference's shape in JSON and come back from both encodings.
func TestResults(t *testing.T) {
	items := []Result{{1, Response{OK: true, Data: `{"n":2}`, Metadata: `{"status":200}`}}, {2, Response{Error: true}}}
	want := `{"completion_message":{"hash":"h","items":[` +
		`{"order":1,"response":{"error":false,"ok":true,"data":"{\"n\":2}","metadata":"{\"status\":200}"}},` +
		`{"order":2,"response":{"error":true,"ok":false,"data":"","metadata":""}}]}}`
	if got := string(AppendCompletion(nil, "h", items)); got != want {
		t.Errorf("AppendCompletion = %s", got)
	}
	for _, b := range [][]byte{AppendNotification(nil, "h", items), AppendProtoNotification(nil, "h", items)} {
		hash, got, err := ParseNotification(b, Limits{})
		if err != nil || hash != "h" || !cmp.Equal(items, got) {
			t.Errorf("ParseNotification(%q) = %q, %v, %v", b, hash, got, err)
		}
	}
	for _, bad := range []string{"", "{}", `{"notification_message":{"hash":"h","items":[]}}`, "\x12\x05", string(AppendProtoCompletion(nil, "h", items))} {
		if _, _, err := ParseNotification([]byte(bad), Limits{}); err == nil {
			t.Errorf("ParseNotification(%q) gave no error", bad)
		}
	}
}

// Goal: no bytes break the reader, and what it takes says the same when it is written again.
func FuzzParseWork(f *testing.F) {
	w := example()
	f.Add(AppendWork(nil, &w))
	f.Add(AppendProtoWork(nil, &w))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := ParseWork(b, Limits{Lax: true})
		if err != nil {
			return
		}
		for _, again := range [][]byte{AppendWork(nil, &w), AppendProtoWork(nil, &w)} {
			got, err := ParseWork(again, Limits{Lax: true, Message: 16 << 20})
			if err != nil {
				t.Fatalf("%q: %v", again, err)
			}
			if diff := cmp.Diff(w, got); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// Fuzz: what is taken as a notification can be written in both forms and is read as the same.
func FuzzParseNotification(f *testing.F) {
	items := []Result{{1, Response{OK: true, Data: "d", Metadata: "{}"}}, {2, Response{Error: true}}}
	f.Add(AppendNotification(nil, "h", items))
	f.Add(AppendProtoNotification(nil, "h", items))
	f.Add([]byte(`{"notification_message":{"items":[{}],}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		hash, items, err := ParseNotification(b, Limits{})
		if err != nil {
			if !errors.Is(err, ErrBadWork) {
				t.Fatal(err)
			}
			return
		}
		for _, written := range [][]byte{AppendNotification(nil, hash, items), AppendProtoNotification(nil, hash, items)} {
			hash2, items2, err := ParseNotification(written, Limits{Message: 64 << 20})
			if err != nil || hash2 != hash || !slices.Equal(items2, items) {
				t.Fatalf("%q is read as %q %+v, %v; was %q %+v", written, hash2, items2, err, hash, items)
			}
		}
	})
}
