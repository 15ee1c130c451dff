package broker

// Metric names one metric family and says what it counts: the text behind # HELP. Packages that keep metrics export a
// table of them, so that the metrics page, the documentation and the tests agree.
type Metric struct {
	Name string // gosper_…, units last
	Help string // one sentence
}
