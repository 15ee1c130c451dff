//go:build race

package pebble

import "flag"

// The race detector makes everything many times slower: fewer rounds see the same races.
const slowdown = 6

func init() { lessRapid = func() { _ = flag.Set("rapid.checks", "20") } }
