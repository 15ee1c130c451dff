package module

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"gosper/broker"
	"gosper/protocol"
)

// Limits of the chat log.
const (
	chatLogQueue   = 4096                   // messages that wait to be written; more are left out, counted and noted in the log
	chatLogGather  = 100 * time.Millisecond // lines of so long are one entry; what a crash can take
	chatLogEntry   = 64 << 10               // bytes after which an entry is written at once
	chatLogTrim    = 10 * time.Second       // old entries are dropped so often
	chatLogTimeout = 10 * time.Second       // for one step of the engine
	chatLogRetry   = time.Second            // a log that could not be taken over is tried again after so long
	chatLogRecall  = 15 * time.Second       // a log that another node keeps: lines of so long are at hand, should that node die

	ChatLogAgeLeast   = time.Hour // shortest age
	ChatLogBytesLeast = 1 << 20   // least bytes
)

const chatLogName = "chatlog"

// ChatLogOptions say where a chat log is kept, and for how long.
type ChatLogOptions struct {
	Bus   broker.Bus
	Log   broker.Log
	Age   time.Duration // older lines are dropped; at least ChatLogAgeLeast
	Bytes int64         // of all entries together, beyond which the oldest are dropped; at least ChatLogBytesLeast
	// Shared says that several nodes have the log, one of which writes it: see ChatLog.Keep.
	Shared bool
	Slog   *slog.Logger     // nil means none
	Now    func() time.Time // nil means time.Now
}

// ChatLog is a durable log of everything said in public and in families. It follows the bus, away from the path of a
// message: a slow disk costs lines of the log (which says so) and never holds up a message. Lines are gathered for a
// moment and written as one entry of a broker.Log.
//
// An entry is a head of four little-endian u64 (bytes of all entries before it, time of the first and of the last line in
// unix milliseconds, messages left out before it) and JSON lines. The sums in the heads make it cheap to know how much
// there is and which entries are too old, without reading them all.
//
// Of several nodes that share it one writes it, the others have the last lines at hand: when another takes over, it begins
// with those that are not in the log.
type ChatLog struct {
	options ChatLogOptions
	sub     broker.Subscription
	queue   chan *broker.Message
	stop    chan struct{}
	ended   sync.WaitGroup
	once    sync.Once

	lost atomic.Int64 // messages left out since the last entry
	turn chan uint64  // tells run to write with this token, or with 0 not to

	// owned by run
	writes  bool
	token   uint64            // fences a node that was replaced; 0: another node writes, or nothing is shared
	retry   *time.Timer       // runs when the log could not be taken over
	recent  []*broker.Message // while another node writes
	total   uint64            // bytes of all entries ever
	failing bool              // the last entry was not written
	trimmed time.Time
}

// chatLogMetrics is shared by all logs of a process.
var chatLogMetrics = struct{ lines, lost *vm.Counter }{
	vm.NewCounter("gosper_chatlog_lines_total"), vm.NewCounter("gosper_chatlog_lost_total"),
}

// ChatLine is one line of the log.
type ChatLine struct {
	Time   time.Time `json:"time"`
	World  string    `json:"world"`
	Family string    `json:"family,omitempty"` // empty: in public
	Name   string    `json:"name"`
	Text   string    `json:"text"`
	Lost   int64     `json:"lost,omitempty"` // messages left out before this line
}

// storedLine is a line as it is stored.
type storedLine struct {
	Time   int64  `json:"t"`
	World  string `json:"w"`
	Family string `json:"f,omitempty"`
	Name   string `json:"n"`
	Text   string `json:"x"`
}

// OpenChatLog opens the log and follows the bus until Close. The context bounds the opening only.
func OpenChatLog(ctx context.Context, o ChatLogOptions) (*ChatLog, error) {
	if o.Age < ChatLogAgeLeast || o.Bytes < ChatLogBytesLeast {
		return nil, fmt.Errorf("a chat log keeps at least %v and %d bytes", ChatLogAgeLeast, ChatLogBytesLeast)
	}
	if o.Slog == nil {
		o.Slog = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &ChatLog{options: o, queue: make(chan *broker.Message, chatLogQueue), stop: make(chan struct{}), turn: make(chan uint64),
		retry: time.NewTimer(chatLogRetry)}
	if !o.Shared {
		if _, err := l.resume(ctx); err != nil {
			return nil, err
		}
		l.writes = true
	}
	var err error
	if l.sub, err = o.Bus.Subscribe("chat.>", broker.Handler{Message: l.take, Gap: func(string) { l.leaveOut(1) }}); err != nil {
		return nil, err
	}
	l.ended.Go(l.run)
	return l, nil
}

// fence makes the log refuse the writers before token: what is read of it afterwards is all they have written. It cuts
// nothing, as no entry is that far.
func (l *ChatLog) fence(ctx context.Context, token uint64) error {
	return l.options.Log.Cut(ctx, chatLogName, token, math.MaxUint64)
}

// resume reads where the log ends, and returns the time of its last line in unix milliseconds.
func (l *ChatLog) resume(ctx context.Context) (last uint64, err error) {
	next, err := l.options.Log.Next(ctx, chatLogName)
	if err != nil {
		return 0, err
	}
	h, ok, err := l.entry(ctx, next-1)
	if err == nil && ok {
		l.total, last = h.before+uint64(h.size), h.last
	}
	return last, err
}

// Keep writes a shared log until the context ends. token fences other nodes that believe to be the one that writes. REQUIRES: one call
// at a time.
func (l *ChatLog) Keep(ctx context.Context, token uint64) {
	select {
	case l.turn <- token:
	case <-l.stop:
		return
	}
	<-ctx.Done()
	select {
	case l.turn <- 0:
	case <-l.stop:
	}
}

// change takes over or gives up the writing. Lines that came since the log's last one are added to b.
func (l *ChatLog) change(token uint64, b *batch) {
	l.token, l.writes = token, false
	if token == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), chatLogTimeout)
	defer cancel()
	var last uint64
	err := l.fence(ctx, token)
	if err == nil {
		last, err = l.resume(ctx)
	}
	if err != nil {
		l.options.Slog.Error("the chat log cannot be written by this node now", "error", err)
		l.giveUp(err)
		return
	}
	for _, m := range l.recent {
		if uint64(m.Time.UnixMilli()) > last {
			b.add(m)
		}
	}
	l.writes, l.recent = true, nil
}

// giveUp ends the writing after err: for good when another node writes, else until the next try.
func (l *ChatLog) giveUp(err error) {
	l.writes = false
	if errors.Is(err, broker.ErrFenced) {
		l.token = 0
	}
	l.retry.Reset(chatLogRetry)
}

// remember keeps the lines of the last moments at hand while another node writes.
func (l *ChatLog) remember(m *broker.Message) {
	old := m.Time.Add(-chatLogRecall)
	drop := 0
	for drop < len(l.recent) && (l.recent[drop].Time.Before(old) || len(l.recent)-drop >= chatLogQueue) {
		drop++
	}
	l.recent = append(slices.Delete(l.recent, 0, drop), m)
}

// Close writes what waits and ends the log. It is idempotent.
func (l *ChatLog) Close() {
	l.once.Do(func() {
		l.sub.Unsubscribe()
		close(l.stop)
		l.ended.Wait()
	})
}

// take queues a message; it runs on the bus and does not block.
func (l *ChatLog) take(m *broker.Message) {
	select {
	case l.queue <- m:
	default:
		l.leaveOut(1)
	}
}

func (l *ChatLog) leaveOut(n int64) {
	l.lost.Add(n)
	chatLogMetrics.lost.Add(int(n))
}

// run writes entries until the log is closed.
func (l *ChatLog) run() {
	gather := time.NewTimer(chatLogGather)
	defer gather.Stop()
	defer l.retry.Stop()
	for open := true; open; {
		var b batch
		select {
		case m := <-l.queue:
			if !l.writes {
				l.remember(m)
				continue
			}
			b.add(m)
			gather.Reset(chatLogGather)
			open = l.fill(&b, gather.C)
		case token := <-l.turn:
			l.change(token, &b)
		case <-l.retry.C:
			if l.token != 0 && !l.writes {
				l.change(l.token, &b)
			}
		case <-l.stop:
			open = false
		}
		if !l.writes {
			continue
		}
		if !open {
			l.drain(&b)
		}
		l.write(&b)
		l.trim()
	}
}

// fill gathers lines for an entry. It returns false when the log was closed meanwhile.
func (l *ChatLog) fill(b *batch, end <-chan time.Time) (open bool) {
	for len(b.data) < chatLogEntry {
		select {
		case m := <-l.queue:
			b.add(m)
		case <-end:
			return true
		case <-l.stop:
			return false
		}
	}
	return true
}

// drain takes what waits when the log is closed.
func (l *ChatLog) drain(b *batch) {
	for {
		select {
		case m := <-l.queue:
			b.add(m)
			if len(b.data) >= chatLogEntry {
				l.write(b)
				*b = batch{}
			}
		default:
			return
		}
	}
}

// batch is an entry in the making.
type batch struct {
	data        []byte // the head and the lines
	lines       int64
	first, last int64
}

// headSize is the size of the head of an entry.
const headSize = 32

// add adds a message, unless it is no chat.
func (b *batch) add(m *broker.Message) {
	line, ok := lineOf(m)
	if !ok {
		return
	}
	text, err := json.Marshal(line)
	if err != nil {
		return // texts and numbers always encode
	}
	if b.lines == 0 {
		b.data = append(make([]byte, headSize, headSize+2*len(text)), text...)
		b.first = line.Time
	} else {
		b.data = append(append(b.data, '\n'), text...)
	}
	b.lines++
	b.last = max(b.last, line.Time)
}

// lineOf reads a message of the bus; false for one that is no chat.
func lineOf(m *broker.Message) (storedLine, bool) {
	world, rest, ok := strings.Cut(strings.TrimPrefix(m.Subject, "chat."), ".")
	family, of := strings.CutPrefix(rest, "family.")
	if !ok || !of && rest != "public" {
		return storedLine{}, false
	}
	if !of {
		family = ""
	}
	push, err := protocol.ParsePush(m.Data)
	if err != nil {
		return storedLine{}, false
	}
	chat, err := protocol.ParseChat(push.Content)
	return storedLine{m.Time.UnixMilli(), world, family, chat.Name, chat.Text}, err == nil
}

// write writes an entry and waits until it is durable. What cannot be written is left out.
func (l *ChatLog) write(b *batch) {
	if b.lines == 0 {
		return
	}
	lost := l.lost.Swap(0)
	for i, v := range [4]uint64{l.total, uint64(b.first), uint64(b.last), uint64(lost)} {
		binary.LittleEndian.PutUint64(b.data[8*i:], v)
	}
	done := make(chan error, 1)
	l.options.Log.Append(chatLogName, l.token, [][]byte{b.data}, func(_ uint64, err error) { done <- err })
	if err := <-done; err != nil {
		l.lost.Add(lost)
		if errors.Is(err, broker.ErrFenced) {
			l.giveUp(err) // the other node writes these lines
			return
		}
		l.leaveOut(b.lines)
		if !l.failing && !errors.Is(err, broker.ErrClosed) {
			l.options.Slog.Warn("the chat log is not written; lines are left out until it can be", "error", err)
		}
		l.failing = true
		return
	}
	if l.failing {
		l.options.Slog.Info("the chat log is written again", "left_out", lost)
	}
	l.failing = false
	l.total += uint64(len(b.data))
	chatLogMetrics.lines.Add(int(b.lines))
}

// trim drops what is too old or too much, now and then.
func (l *ChatLog) trim() {
	now := l.options.Now()
	if now.Sub(l.trimmed) < chatLogTrim {
		return
	}
	l.trimmed = now
	ctx, cancel := context.WithTimeout(context.Background(), chatLogTimeout)
	defer cancel()
	oldest := uint64(now.Add(-l.options.Age).UnixMilli())
	keep, err := l.search(ctx, func(h *head) bool {
		return h.last >= oldest && l.total-h.before <= uint64(l.options.Bytes)
	})
	if err == nil && keep > 1 {
		err = l.options.Log.Trim(ctx, chatLogName, l.token, keep)
	}
	if err != nil && !errors.Is(err, broker.ErrClosed) {
		l.options.Slog.Warn("old lines of the chat log were not dropped", "error", err)
	}
}
