//go:build !race

package edge_test

const memoryFactor = 1
