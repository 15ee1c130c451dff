package grid

import (
	"bytes"
	"math"
	"strconv"
)

// Macrocell, the quadtree format of huge patterns:
//
//	[M2] (any program)
//	#R B3/S23             rule; #G 100 is the generation
//	.*$..*$***$$$$$$      node 1: a leaf of 8 by 8 cells, rows end with $
//	4 0 1 0 0             node 2: side 2^4, its nw, ne, sw, se quarters
//
// 0 is the empty node of any size. In patterns with states a line "1 a b c d"
// is a leaf of 2 by 2 cells. The last node is the whole pattern.

// maxLevel bounds the size of a node, 2^level cells a side. It keeps the sums
// of coordinates within 64 bits.
const maxLevel = 60

// maxNodes bounds the nodes kept; a node takes 40 bytes.
const maxNodes = 1 << 20

// mcNode is one node and what is known about the cells below it.
type mcNode struct {
	level      uint8
	leaf       bool
	bits       uint64    // leaf of level 3: bit 8y+x
	child      [4]uint32 // node numbers; states in a leaf of level 1
	population uint64    // stops growing at MaxUint64
}

type mcReader struct {
	*reader
	nodes []mcNode // nodes[0] is the empty one
}

// ParseMacrocell reads Golly's macrocell format. The population is known, and
// checked, before any cell is made; the box of the result is that of its cells,
// its origin counts from the middle of the tree. Memory: 40 bytes a node, at
// most twice 1 Mi of them, and the cells as [ParseRLE]. Errors are
// [*PatternError].
func ParseMacrocell(b []byte, limits PatternLimits) (*Pattern, error) {
	base, err := newReader(b, limits)
	if err != nil {
		return nil, err
	}
	r := &mcReader{reader: base, nodes: make([]mcNode, 1)}
	for {
		line, ok := r.next()
		if !ok {
			break
		}
		if err := r.line(line); err != nil {
			return nil, err
		}
	}
	root := &r.nodes[len(r.nodes)-1]
	if root.population > uint64(r.limits.Cells) {
		return nil, r.large(1, "there are %d live cells, and %d are taken", root.population, r.limits.Cells)
	}
	half := int64(1) << root.level / 2
	if err := r.expand(root, -half, -half); err != nil {
		return nil, err
	}
	return r.finishCropped(), nil
}

func (r *mcReader) line(line []byte) error {
	text := bytes.TrimSpace(line)
	if len(text) == 0 || text[0] == '[' {
		return nil
	}
	if text[0] == '#' {
		return r.mark(line, text)
	}
	if len(r.nodes) >= maxNodes {
		return r.large(1, "there are more than %d nodes", maxNodes)
	}
	if text[0] == '.' || text[0] == '*' || text[0] == '$' {
		return r.leaf(line, text)
	}
	return r.node(line, text)
}

func (r *mcReader) mark(line, text []byte) error {
	if rest, ok := cutMark(text, "#R"); ok {
		return r.ruleLine(columnOf(line, rest), rest)
	}
	if rest, ok := cutMark(text, "#G"); ok {
		n, err := strconv.ParseUint(string(rest), 10, 64)
		if err != nil {
			return r.wrong(columnOf(line, rest), "the generation %q is not a whole number that fits 64 bits", clip(clean(rest)))
		}
		r.pattern.Generation = n
	}
	if rest, ok := cutMark(text, "#C"); ok {
		r.comment(rest)
	}
	return nil
}

// leaf reads the rows of 8 by 8 cells.
func (r *mcReader) leaf(line, text []byte) error {
	n := mcNode{level: 3, leaf: true}
	var x, y int64
	for i, c := range text {
		switch {
		case c == '$':
			x, y = 0, y+1
		case c != '.' && c != '*':
			return r.wrong(columnOf(line, text)+i, "%q is not part of a leaf; use . * and $", c)
		case x > 7 || y > 7:
			return r.wrong(columnOf(line, text)+i, "a leaf has 8 rows of 8 cells, and this is more")
		default:
			if c == '*' {
				n.bits |= 1 << (8*y + x)
				n.population++
			}
			x++
		}
	}
	r.nodes = append(r.nodes, n)
	return nil
}

// node reads "level nw ne sw se".
func (r *mcReader) node(line, text []byte) error {
	parts := fields(text, 6)
	if len(parts) != 5 {
		return r.wrong(columnOf(line, text), "a node is five whole numbers (level, nw, ne, sw, se), and this is not")
	}
	var v [5]uint64
	for i, f := range parts {
		n, err := strconv.ParseUint(string(f), 10, 32)
		if err != nil {
			return r.wrong(columnOf(line, f), "%q is not the number of a node", clip(clean(f)))
		}
		v[i] = n
	}
	if v[0] < 1 || v[0] > maxLevel {
		return r.wrong(columnOf(line, parts[0]), "a node of level %d cannot be: levels go from 1 to %d", v[0], maxLevel)
	}
	n := mcNode{level: uint8(v[0]), leaf: v[0] == 1}
	for i := range n.child {
		n.child[i] = uint32(v[i+1])
		if err := r.include(&n, i, columnOf(line, parts[i+1])); err != nil {
			return err
		}
	}
	r.nodes = append(r.nodes, n)
	return nil
}

// include checks quarter i of n and adds its population.
func (r *mcReader) include(n *mcNode, i, column int) error {
	number := n.child[i]
	if n.level == 1 {
		if number > 255 {
			return r.wrong(column, "state %d is beyond 255, the last one there is", number)
		}
		if number > 0 {
			n.population++
		}
		return nil
	}
	if int(number) >= len(r.nodes) {
		return r.wrong(column, "node %d is not there yet: the file has %d before this line", number, len(r.nodes)-1)
	}
	c := &r.nodes[number]
	if number != 0 && c.level != n.level-1 {
		return r.wrong(column, "node %d has level %d, and a quarter of this one has level %d", number, c.level, n.level-1)
	}
	if n.population > math.MaxUint64-c.population {
		n.population = math.MaxUint64
	} else {
		n.population += c.population
	}
	return nil
}

// expand makes the cells of n, whose corner is at (x, y). Empty nodes are not
// walked, so the work is at most maxLevel steps a live cell.
func (r *mcReader) expand(n *mcNode, x, y int64) error {
	if n.population == 0 {
		return nil
	}
	if n.leaf && n.level == 3 {
		return r.expandLeaf(n.bits, x, y)
	}
	half := int64(1) << (n.level - 1)
	for i, number := range n.child {
		cx, cy := x+int64(i&1)*half, y+int64(i>>1)*half
		var err error
		if n.leaf {
			err = r.state(cx, cy, number)
		} else {
			err = r.expand(&r.nodes[number], cx, cy)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *mcReader) expandLeaf(bits uint64, x, y int64) error {
	for i := int64(0); bits>>i != 0 && i < 64; i++ {
		if bits>>i&1 == 1 {
			if err := r.run(1, x+i&7, y+i>>3, 1, 1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *mcReader) state(x, y int64, state uint32) error {
	if state == 0 {
		return nil
	}
	return r.run(1, x, y, 1, uint8(state))
}
