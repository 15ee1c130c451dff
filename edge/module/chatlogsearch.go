package module

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gosper/protocol"
)

// Limits of a search.
const (
	ChatSearchLines = 1000    // of one answer
	chatSearchBytes = 8 << 20 // of entries that one search looks at; the answer says where to go on
	chatSearchText  = 200     // bytes of the text searched for
	chatSearchPage  = 16      // entries read at once
)

// ChatQuery says which lines are wanted. Empty members do not matter.
type ChatQuery struct {
	World    string
	Family   string // of a family
	Public   bool   // only what was said in public
	Name     string // of who spoke, in any case
	Text     string // in the line, in any case
	From, To time.Time
	Limit    int    // lines, 1 to ChatSearchLines; 0 is ChatSearchLines
	Next     string // of the page before
}

// ChatPage is a part of what was found, oldest first.
type ChatPage struct {
	Lines []ChatLine `json:"lines"`
	Next  string     `json:"next,omitempty"` // to go on with; missing: that was all
}

// check completes a query, or says what is wrong.
func (q *ChatQuery) check() error {
	switch {
	case q.World != "" && !protocol.ValidName(q.World):
		return refuse(protocol.StatusInvalid, "world must be 1 to 32 of A-Z a-z 0-9 _ -")
	case q.Family != "" && !protocol.ValidName(q.Family):
		return refuse(protocol.StatusInvalid, "family must be 1 to 32 of A-Z a-z 0-9 _ -")
	case q.Family != "" && q.Public:
		return refuse(protocol.StatusInvalid, "ask for a family or for public, not for both")
	case len(q.Text) > chatSearchText || len(q.Name) > chatSearchText:
		return refuse(protocol.StatusTooMuch, fmt.Sprintf("text and name may have %d bytes", chatSearchText))
	case q.Limit < 0 || q.Limit > ChatSearchLines:
		return refuse(protocol.StatusRange, fmt.Sprintf("limit must be 1 to %d", ChatSearchLines))
	case !q.From.IsZero() && !q.To.IsZero() && q.To.Before(q.From):
		return refuse(protocol.StatusRange, "to lies before from")
	}
	if q.Limit == 0 {
		q.Limit = ChatSearchLines
	}
	q.Name, q.Text = fold(q.Name), fold(q.Text)
	return nil
}

// wants says whether a line is asked for.
func (q *ChatQuery) wants(l *storedLine) bool {
	return (q.World == "" || l.World == q.World) && (q.Family == "" || l.Family == q.Family) && (!q.Public || l.Family == "") &&
		(q.From.IsZero() || l.Time >= q.From.UnixMilli()) && (q.To.IsZero() || l.Time < q.To.UnixMilli()) &&
		(q.Name == "" || fold(l.Name) == q.Name) && (q.Text == "" || strings.Contains(fold(l.Text), q.Text))
}

// head is what stands before the lines of an entry, and where the entry is.
type head struct {
	seq         uint64
	before      uint64 // bytes of all entries before
	first, last uint64 // unix milliseconds
	lost        uint64
	size        int
}

func readHead(seq uint64, data []byte) (head, error) {
	if len(data) < headSize {
		return head{}, fmt.Errorf("entry %d of the chat log is damaged", seq)
	}
	u := func(i int) uint64 { return binary.LittleEndian.Uint64(data[8*i:]) }
	return head{seq, u(0), u(1), u(2), u(3), len(data)}, nil
}

// entry reads the head of the first entry from a place on; false when there is none.
func (l *ChatLog) entry(ctx context.Context, from uint64) (head, bool, error) {
	entries, err := l.options.Log.Read(ctx, chatLogName, max(from, 1), 1)
	if err != nil || len(entries) == 0 {
		return head{}, false, err
	}
	h, err := readHead(entries[0].Seq, entries[0].Data)
	return h, err == nil, err
}

// search returns the place of the first entry for which ok holds, as it does for all behind it; the place behind the last
// one when it holds for none. ok is not asked about every entry.
func (l *ChatLog) search(ctx context.Context, ok func(*head) bool) (uint64, error) {
	end, err := l.options.Log.Next(ctx, chatLogName)
	if err != nil {
		return 0, err
	}
	first, there, err := l.entry(ctx, 1)
	switch {
	case err != nil || !there:
		return end, err
	case ok(&first):
		return first.seq, nil
	}
	low, high := first.seq, end
	for low < high {
		mid := low + (high-low)/2
		h, there, err := l.entry(ctx, mid)
		switch {
		case err != nil:
			return 0, err
		case !there || ok(&h):
			high = mid
		default:
			low = h.seq + 1
		}
	}
	return low, nil
}

// Search returns lines that a query asks for. One call looks at a bounded part of the log; Next of the page goes on. Errors
// a caller may read are Faults. It blocks on the disk, and may be called from any goroutine.
func (l *ChatLog) Search(ctx context.Context, q ChatQuery) (ChatPage, error) {
	page := ChatPage{Lines: []ChatLine{}}
	if err := q.check(); err != nil {
		return page, err
	}
	seq, skip, err := l.begin(ctx, &q)
	if err != nil {
		return page, err
	}
	for looked := 0; ; {
		entries, err := l.options.Log.Read(ctx, chatLogName, seq, chatSearchPage)
		if err != nil || len(entries) == 0 {
			return page, err
		}
		for _, e := range entries {
			h, err := readHead(e.Seq, e.Data)
			if err != nil {
				return page, err
			}
			if !q.To.IsZero() && int64(h.first) >= q.To.UnixMilli() {
				return page, nil
			}
			if e.Seq != seq {
				skip = 0 // the entry to go on with has been dropped
			}
			if at, full := page.find(&q, &h, e.Data[headSize:], skip); full {
				page.Next = fmt.Sprintf("%d.%d", e.Seq, at)
				return page, nil
			}
			seq, skip = e.Seq+1, 0
			if looked += len(e.Data); looked >= chatSearchBytes {
				page.Next = fmt.Sprintf("%d.0", seq)
				return page, nil
			}
		}
	}
}

// begin returns the place at which a search begins: an entry, and a line in it.
func (l *ChatLog) begin(ctx context.Context, q *ChatQuery) (seq uint64, skip int, err error) {
	if q.Next != "" {
		entry, line, _ := strings.Cut(q.Next, ".")
		seq, err = strconv.ParseUint(entry, 10, 64)
		skip, wrong := strconv.Atoi(line)
		if err != nil || wrong != nil || seq == 0 || skip < 0 {
			return 0, 0, refuse(protocol.StatusInvalid, "next must be that of the page before")
		}
		return seq, skip, nil
	}
	if q.From.IsZero() {
		return 1, 0, nil
	}
	from := q.From.UnixMilli()
	seq, err = l.search(ctx, func(h *head) bool { return int64(h.last) >= from })
	return seq, 0, err
}

// find adds the lines of an entry that are asked for, from line skip on. When there are enough it says at which line to go
// on.
func (p *ChatPage) find(q *ChatQuery, h *head, lines []byte, skip int) (at int, full bool) {
	for text := range bytes.Lines(lines) {
		at++
		if at <= skip {
			continue
		}
		var line storedLine
		if json.Unmarshal(text, &line) != nil || !q.wants(&line) {
			continue
		}
		if len(p.Lines) >= q.Limit {
			return at - 1, true
		}
		out := ChatLine{Time: time.UnixMilli(line.Time).UTC(), World: line.World, Family: line.Family, Name: line.Name, Text: line.Text}
		if at == 1 {
			out.Lost = int64(h.lost)
		}
		p.Lines = append(p.Lines, out)
	}
	return at, false
}
