//go:build !race

package pebble

const slowdown = 1
