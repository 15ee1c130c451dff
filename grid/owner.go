package grid

// States of a tile's owners beside a number 0…254.
const (
	ownerNone  = 0xffff
	ownerMixed = 0xfffe
)

type ownerScratch struct{}
type ownerCache struct{ valid bool }

func (g *Grid) setOwner(t, x, y int, owner uint8) {}
func (g *Grid) ownerAt(t, x, y int) uint8         { return 0 }

func (job *stepJob) newborns(g *Grid, tx, ty, dst int, c *change) {}
func (g *Grid) Owner(x, y int) (uint8, bool) { return 0, false }
func (g *Grid) Colour(x, y int) (uint32, bool) { return 0, false }
