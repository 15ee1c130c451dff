package module

import (
	"context"
	"log/slog"
	"testing"

	"gosper/broker/memory"
	"gosper/protocol"
)

// benchTable returns a table on memory engines without rates.
func benchTable(b *testing.B) *Table {
	store, registry, bus := memory.NewStore(), memory.NewRegistry(), memory.NewBus(memory.BusOptions{})
	o := DefaultOptions()
	o.ReadRate, o.WriteRate = Rate{}, Rate{}
	table, err := New(Config{Options: o, Store: store, Registry: registry, Bus: bus, Secret: make([]byte, MinSecret), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		table.Close()
		bus.Close()
		registry.Close()
		store.Close()
	})
	return table
}

// BenchmarkSay is a chat line from the door to the bus, its rate counted.
func BenchmarkSay(b *testing.B) {
	table := benchTable(b)
	table.tools.limits.rates[ClassChat] = Rate{PerSecond: 1e9, Burst: 1 << 30}
	who := Identity{Account: "0123456789abcdef0123456789abcdef", World: "0", Name: "Ann"}
	text := []byte("a line of a usual length, said to everyone in the world")
	done := func(s protocol.Status) {
		if s != protocol.StatusOK {
			b.Fatal(s)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		table.Say(&who, false, text, done)
	}
}

// BenchmarkCall is a function through the pool and back.
func BenchmarkCall(b *testing.B) {
	table := benchTable(b)
	replies := make(chan Reply, 1)
	b.ReportAllocs()
	for b.Loop() {
		table.Call(&Call{Context: context.Background(), Route: "/user/clientCode", Content: []byte(`{}`)}, func(r Reply) { replies <- r })
		<-replies
	}
}

// BenchmarkValidate is the check of a token, its login record included.
func BenchmarkValidate(b *testing.B) {
	table := benchTable(b)
	token, err := table.IssueToken(context.Background(), "alfred", false)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := table.Authenticate(context.Background(), token); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPassword is one argon2id hash.
func BenchmarkPassword(b *testing.B) {
	table := benchTable(b)
	for b.Loop() {
		if _, err := table.tools.passwords.hash(context.Background(), "Secret1"); err != nil {
			b.Fatal(err)
		}
	}
}
