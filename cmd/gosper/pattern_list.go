package main

import (
	"bufio"
	"fmt"
	"io"
	"text/tabwriter"

	"gosper/grid"
)

// listCatalogue prints the groups of well-known patterns.
func listCatalogue(out io.Writer) error {
	w := bufio.NewWriter(out)
	for i, g := range grid.Catalogue() {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s (%d)\n", g.Name, len(g.Templates))
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, e := range g.Templates {
			name := e.Name
			if e.Also != "" {
				name += " (" + e.Also + ")"
			}
			fmt.Fprintf(t, "  %s\t%dx%d\t%d cells\t%s\n", name, e.Width, e.Height, e.Cells, templateFacts(e))
		}
		t.Flush()
	}
	return w.Flush()
}

func templateFacts(t *grid.Template) string {
	switch {
	case t.Settles != 0 && t.Leaves == 0:
		return fmt.Sprintf("dies at %d", t.Settles)
	case t.Settles != 0:
		return fmt.Sprintf("stable at %d with %d cells", t.Settles, t.Leaves)
	}
	facts := fmt.Sprintf("period %d", t.Period)
	if s := t.Speed(); s != "" {
		facts += ", " + s
	}
	if t.Growth != 0 {
		facts += fmt.Sprintf(", %+d cells a period", t.Growth)
	}
	return facts
}
