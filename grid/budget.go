package grid

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// ErrBudget is what [New] wraps when a grid does not fit its budget.
var ErrBudget = errors.New("grid memory budget")

// BudgetError says how much was needed and how much was left, in bytes.
type BudgetError struct{ Needed, Available int64 }

// Error names both figures.
func (e *BudgetError) Error() string {
	return fmt.Sprintf("%v: %d bytes needed, %d available", ErrBudget, e.Needed, e.Available)
}

// Unwrap returns [ErrBudget].
func (e *BudgetError) Unwrap() error { return ErrBudget }

// Budget bounds the memory of many grids together. It may be used by many
// goroutines at once. A nil *Budget allows everything.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget returns a budget of limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Limit returns the bytes in all.
func (b *Budget) Limit() int64 { return b.limit }

// Used returns the bytes that grids hold now.
func (b *Budget) Used() int64 { return b.used.Load() }

// Available returns the bytes left.
func (b *Budget) Available() int64 { return b.limit - b.used.Load() }

// take reserves n bytes or returns a *BudgetError and reserves nothing.
func (b *Budget) take(n int64) error {
	if b == nil {
		return nil
	}
	for {
		used := b.used.Load()
		if n > b.limit-used {
			return &BudgetError{Needed: n, Available: b.limit - used}
		}
		if b.used.CompareAndSwap(used, used+n) {
			return nil
		}
	}
}

func (b *Budget) give(n int64) {
	if b != nil {
		b.used.Add(-n)
	}
}
