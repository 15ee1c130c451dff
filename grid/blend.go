package grid

type colourStore struct{}

func newColourStore(n int) *colourStore          { return &colourStore{} }
func colourBytes(n int) int64                    { return 0 }
func (s *colourStore) set(t, x, y int, c uint32) {}
func (g *Grid) Colour(x, y int) (uint32, bool)   { return 0, false }
func (g *Grid) blend(tx, ty, dst int, c *change) {}
