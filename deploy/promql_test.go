package deploy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A reader of PromQL, as far as our dashboard and alarms go: it tells what a query asks for. An expression that it does not
// understand is an error, so nothing goes by unread.

// selection is one metric that a query asks for.
type selection struct {
	name     string
	labels   []string // that its matchers name
	ranged   bool     // [5m]
	function string   // whose argument it is; "" for none
	around   []string // all functions around it, the innermost last
}

// query is what one expression asks for.
type query struct {
	selections []selection
	kept       []string // labels named by by, without, on, ignoring, group_left
	quantiles  int      // calls of histogram_quantile whose argument keeps le
	broken     []string // those that do not
}

// What PromQL knows of functions: those of a range, and those of what is now.
var (
	overRange  = []string{"rate", "irate", "increase", "delta", "deriv", "predict_linear", "avg_over_time", "max_over_time", "min_over_time", "changes", "resets"}
	overNow    = []string{"histogram_quantile", "abs", "absent", "ceil", "floor", "clamp_min", "clamp_max", "time", "vector", "scalar", "label_replace", "sort_desc", "sort"}
	aggregates = []string{"sum", "avg", "min", "max", "count", "topk", "bottomk", "quantile", "group"}
	operators  = []string{"==", "!=", ">=", "<=", ">", "<", "+", "-", "*", "/", "%", "^", "and", "or", "unless"}
	matchers   = []string{"=~", "!~", "!=", "="}
)

var promToken = regexp.MustCompile(`^(?:\s+|#[^\n]*|"(?:[^"\\]|\\.)*"|\d+(?:\.\d+)?(?:e[+-]?\d+)?(?:ms|[smhdwy])?|[a-zA-Z_:][a-zA-Z0-9_:]*|=~|!~|==|!=|>=|<=|[-+*/%^<>=(){}\[\],])`)

type promReader struct {
	tokens []string
	found  query
}

// readQuery reads one expression.
func readQuery(text string) (q query, err error) {
	r := promReader{}
	for rest := text; rest != ""; {
		token := promToken.FindString(rest)
		if token == "" {
			return q, fmt.Errorf("not understood: %q", rest)
		}
		if rest = rest[len(token):]; strings.TrimSpace(token) != "" && token[0] != '#' {
			r.tokens = append(r.tokens, token)
		}
	}
	defer func() {
		if caught, ok := recover().(promError); ok {
			err = caught
		}
	}()
	r.expression(nil)
	if len(r.tokens) > 0 {
		return q, fmt.Errorf("not understood: %q", strings.Join(r.tokens, " "))
	}
	return r.found, nil
}

// promError ends the reading of an expression.
type promError string

func (e promError) Error() string { return string(e) }

func (r *promReader) peek() string {
	if len(r.tokens) == 0 {
		return ""
	}
	return r.tokens[0]
}

func (r *promReader) next() string {
	token := r.peek()
	if token == "" {
		panic(promError("it ends too early"))
	}
	r.tokens = r.tokens[1:]
	return token
}

func (r *promReader) want(token string) {
	if got := r.next(); got != token {
		panic(promError(fmt.Sprintf("%q where %q should be", got, token)))
	}
}

// expression reads operands with operators between them.
func (r *promReader) expression(around []string) {
	for {
		r.operand(around)
		if !slices.Contains(operators, r.peek()) {
			return
		}
		r.next()
		if r.peek() == "bool" {
			r.next()
		}
		for slices.Contains([]string{"on", "ignoring", "group_left", "group_right"}, r.peek()) {
			r.next()
			r.names()
		}
	}
}

func (r *promReader) operand(around []string) {
	switch token := r.next(); {
	case token == "-":
		r.operand(around)
	case token == "(":
		r.expression(around)
		r.want(")")
	case token[0] >= '0' && token[0] <= '9', token[0] == '"':
	case slices.Contains(aggregates, token):
		r.aggregate(token, around)
	case slices.Contains(overRange, token), slices.Contains(overNow, token):
		r.call(token, around)
	case token == "{" || !isName(token):
		panic(promError(fmt.Sprintf("%q where a metric should be", token)))
	case r.peek() == "(":
		panic(promError("no function " + token))
	default:
		r.selection(token, around)
	}
}

func isName(token string) bool { return regexp.MustCompile(`^[a-zA-Z_:]`).MatchString(token) }

// names reads (a, b), of which there may be none.
func (r *promReader) names() (list []string) {
	r.want("(")
	for r.peek() != ")" {
		if r.peek() == "," {
			r.next()
		}
		list = append(list, r.next())
	}
	r.next()
	r.found.kept = append(r.found.kept, list...)
	return list
}

// aggregate reads what follows sum and the like.
func (r *promReader) aggregate(name string, around []string) {
	var by []string
	group := func() {
		if word := r.peek(); word == "by" || word == "without" {
			r.next()
			if list := r.names(); word == "by" {
				by = append(by, list...)
			}
		}
	}
	group()
	from := len(r.found.selections)
	r.arguments(name, around)
	group()
	if len(around) > 0 && around[len(around)-1] == "histogram_quantile" && !slices.Contains(by, "le") {
		r.found.broken = append(r.found.broken, r.found.selections[from].name)
	}
}

func (r *promReader) call(name string, around []string) {
	if name == "histogram_quantile" {
		r.found.quantiles++
	}
	r.arguments(name, around)
}

// arguments reads (a, b).
func (r *promReader) arguments(name string, around []string) {
	inner := append(slices.Clone(around), name)
	for r.want("("); r.peek() != ")"; {
		r.expression(inner)
		if r.peek() == "," {
			r.next()
		}
	}
	r.next()
}

// selection reads what follows the name of a metric.
func (r *promReader) selection(name string, around []string) {
	s := selection{name: name, around: around}
	if len(around) > 0 {
		s.function = around[len(around)-1]
	}
	if r.peek() == "{" {
		for r.next(); r.peek() != "}"; {
			s.labels = append(s.labels, r.next())
			if !slices.Contains(matchers, r.next()) || !strings.HasPrefix(r.next(), `"`) {
				panic(promError("matchers of " + name))
			}
			if r.peek() == "," {
				r.next()
			}
		}
		r.next()
	}
	if r.peek() == "[" {
		s.ranged = true
		r.next()
		r.next()
		r.want("]")
	}
	if r.peek() == "offset" {
		r.next()
		r.next()
	}
	r.found.selections = append(r.found.selections, s)
}

// Goal: the reader finds what a query asks for, and takes no nonsense. Method: table.
func TestReadQuery(t *testing.T) {
	for text, want := range map[string]string{
		`up == 0`: "up",
		`sum by (door) (gosper_connections{job="gosper", door=~"l.*"}) / 2`:    "sum:gosper_connections{job,door}",
		`histogram_quantile(0.99, sum by (le) (rate(x_bucket[5m])))`:           "rate:x_bucket[]",
		`a > 1 and on (instance) rate(b[1m]) > bool -2`:                        "a rate:b[]",
		`(max(c) without (pod) or vector(0)) unless absent(d offset 5m) # why`: "max:c absent:d",
		`topk(5, e{}) * on (pod) group_left (node) f + 1e6`:                    "topk:e f",
		`predict_linear(g[6h], 3600) < 0`:                                      "predict_linear:g[]",
		`histogram_quantile(0.5, sum(rate(h_bucket[1m])))`:                     "rate:h_bucket[] !h_bucket",
		`sum(`: "error", `rat(x[1m])`: "error", `x{y="1"`: "error", `x y`: "error", `{a="b"}`: "error", `x{y=1}`: "error", `& 1`: "error", ``: "error",
	} {
		q, err := readQuery(text)
		var got []string
		for _, s := range q.selections {
			one := s.name
			if s.function != "" {
				one = s.function + ":" + one
			}
			if len(s.labels) > 0 {
				one += "{" + strings.Join(s.labels, ",") + "}"
			}
			if s.ranged {
				one += "[]"
			}
			got = append(got, one)
		}
		for _, name := range q.broken {
			got = append(got, "!"+name)
		}
		if err != nil {
			got = []string{"error"}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q (%v), expected %q", text, got, err, want)
		}
	}
}
