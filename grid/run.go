package grid

// Run computes up to n generations.
func (g *Grid) Run(n uint64, stop func() bool) uint64 {
	for done := uint64(0); done < n; done++ {
		if stop != nil && stop() {
			return done
		}
		g.Step()
	}
	return n
}
