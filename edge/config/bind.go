package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"
)

// Value is a value that follows a file. Get may be called from any goroutine and never blocks.
type Value[T any] struct {
	now atomic.Pointer[T]
}

// Get returns the value of the newest good content, or the fallback. Maps and slices in it are shared: they must not be
// written to.
func (v *Value[T]) Get() T { return *v.now.Load() }

// bound is what a folder knows of a Value.
type bound struct {
	name     string
	fallback []byte             // as JSON, for documents
	check    func([]byte) error // whether the value takes this content
	set      func([]byte)       // takes content that was checked; nil: the fallback
}

// Bind returns a value that follows the file of a name. Members of a struct that the file does not name have the values
// of the fallback; a fallback that is no struct is replaced whole. check, which may be nil, refuses content that cannot
// be by an error that says what to do, and may complete the value; it is asked about the fallback too. Content that a
// value refuses is broken: see the package. A nil folder gives the fallback for ever.
//
// Bind panics when the fallback does not pass its own check, or cannot be written as JSON: that is a mistake of the caller.
func Bind[T any](f *Folder, name string, fallback T, check func(*T) error) *Value[T] {
	base, err := json.Marshal(fallback)
	if err == nil && check != nil {
		err = check(&fallback)
	}
	if err != nil {
		panic(fmt.Sprintf("config: fallback of %s: %v", name, err))
	}
	v := new(Value[T])
	v.now.Store(&fallback)
	if f == nil {
		return v
	}
	take := func(data []byte) (*T, error) {
		next := new(T)
		if reflect.TypeFor[T]().Kind() == reflect.Struct {
			if err := json.Unmarshal(base, next); err != nil { // a copy that shares nothing with the fallback
				return nil, err
			}
		}
		if err := json.Unmarshal(data, next); err != nil {
			return nil, fmt.Errorf("does not fit: %w", err)
		}
		if check != nil {
			return next, check(next)
		}
		return next, nil
	}
	f.bind(&bound{name: name, fallback: base,
		check: func(data []byte) error { _, err := take(data); return err },
		set: func(data []byte) {
			next := &fallback
			if data != nil {
				if next, err = take(data); err != nil {
					return // a check that changes its mind: the value stays
				}
			}
			v.now.Store(next)
		}})
	return v
}

// bind enters a value and gives it what is in force. Content that was good before there was this value may be broken now.
func (f *Folder) bind(b *bound) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bindings[b.name] = append(f.bindings[b.name], b)
	for _, p := range f.paths {
		if p.name == b.name && p.good != nil {
			if err := b.check(p.good); err != nil {
				p.good = nil
				f.broken(p, err)
			}
		}
	}
	f.settle()
	b.set(f.force[b.name].Data)
}

// Binding describes a name to which the program has bound a value.
type Binding struct {
	Name     string
	Fallback []byte // the value without a file, as JSON
}

// Bindings lists the names to which values are bound, sorted, one for each value.
func (f *Folder) Bindings() []Binding {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []Binding
	for name, bounds := range f.bindings {
		for _, b := range bounds {
			list = append(list, Binding{name, b.fallback})
		}
	}
	slices.SortStableFunc(list, func(a, b Binding) int { return compareNames(a.Name, b.Name) })
	return list
}
