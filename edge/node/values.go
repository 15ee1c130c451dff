package node

import (
	"log/slog"
	"net/netip"
	"strings"

	"gosper/edge"
)

// The flag.Value types below read and print options that are no plain text, number or time.

// secretValue is a Secret.
type secretValue Secret

func (v *secretValue) String() string     { return Secret(*v).String() }
func (v *secretValue) Set(s string) error { *v = secretValue(s); return nil }

// listValue is a list of texts with commas between them. A second Set replaces the first.
type listValue struct{ p *[]string }

func (v *listValue) String() string {
	if v.p == nil {
		return ""
	}
	return strings.Join(*v.p, ",")
}
func (v *listValue) Set(s string) error { *v.p = splitList(s); return nil }

// prefixesValue is a list of networks.
type prefixesValue struct{ p *[]netip.Prefix }

func (v *prefixesValue) String() string {
	if v.p == nil {
		return ""
	}
	parts := make([]string, len(*v.p))
	for i, p := range *v.p {
		parts[i] = p.String()
	}
	return strings.Join(parts, ",")
}

func (v *prefixesValue) Set(s string) (err error) {
	*v.p, err = parsePrefixes(s)
	return err
}

// levelValue is a log level.
type levelValue struct{ p *slog.Level }

func (v *levelValue) String() string {
	if v.p == nil {
		return ""
	}
	return strings.ToLower(v.p.String())
}
func (v *levelValue) Set(s string) error { return v.p.UnmarshalText([]byte(s)) }

// limitValue is one row of the limits of the edge.
type limitValue struct {
	limits *edge.Limits
	name   string
}

func (v *limitValue) String() string {
	if v.limits == nil {
		return ""
	}
	return v.limits.Get(v.name)
}
func (v *limitValue) Set(s string) error { return v.limits.Set(v.name, s) }
