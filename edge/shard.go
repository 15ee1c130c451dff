package edge

import "time"

// shard holds the subscribers of one subject on one loop. It is owned by that loop.
type shard struct {
	list []subscriber
	todo int32 // 1 + index in fanout.groups while a pass has messages for it, else 0
}

// subscriber is a session in a shard. slot is the index of the subject in the session's own list, so that both lists can
// be kept dense by moving their last element.
type subscriber struct {
	s    *Session
	slot int32
	held bool // the session gets missed messages first: see Session.Subscribe
}

// fanout is the scratch memory of a loop's passes over messages.
type fanout struct {
	taken  []*message // the inbox being emptied, kept to be used again
	groups []group
	dirty  []*Session // sessions with something in gathered
	bufs   [][][]byte // what each of dirty gets
}

// group is the messages of one subject in a pass. joined are their bytes for each format, made when first needed.
type group struct {
	sj     *subject
	shard  *shard
	msgs   []*message
	joined [formats][]byte
	ready  [formats]bool
	buf    [formats][]byte // memory of joined
}

// fanOut sends messages to the subscribers on this loop. Those of one subject are joined, and a session with several
// subjects in the pass gets all of it in one write, so the cost is one write a session and pass, however many messages.
func (l *loop) fanOut(msgs []*message) {
	for len(msgs) > 0 {
		n, size := 0, 0
		for n < len(msgs) && (n == 0 || size+len(msgs[n].Data) <= l.engine.limits.JoinBytes) {
			size += len(msgs[n].Data)
			n++
		}
		l.fanPart(msgs[:n])
		msgs = msgs[n:]
	}
}

func (l *loop) fanPart(msgs []*message) {
	groups := l.group(msgs)
	defer func() {
		for i := range groups {
			groups[i].reset()
		}
	}()
	defer l.rescue("fan-out")
	if len(groups) == 1 {
		l.fanOne(&groups[0])
	} else {
		for i := range groups {
			l.fanGather(&groups[i])
		}
		l.sendGathered()
	}
	now := time.Now()
	for _, m := range msgs {
		fanoutLatency.Update(now.Sub(m.Time).Seconds())
	}
}

// group sorts the messages of a pass by subject, in the order of arrival.
func (l *loop) group(msgs []*message) []group {
	groups := l.fan.groups[:0]
	for _, m := range msgs {
		sh := &m.subject.shards[l.index]
		if sh.todo == 0 {
			if len(groups) < cap(groups) {
				groups = groups[:len(groups)+1] // with its memory of an earlier pass
			} else {
				groups = append(groups, group{})
			}
			sh.todo = int32(len(groups))
			g := &groups[len(groups)-1]
			g.sj, g.shard = m.subject, sh
		}
		g := &groups[sh.todo-1]
		g.msgs = append(g.msgs, m)
	}
	l.fan.groups = groups
	return groups
}

func (g *group) reset() {
	g.shard.todo = 0
	clear(g.msgs)
	g.msgs = g.msgs[:0]
	g.sj, g.shard = nil, nil
	g.joined, g.ready = [formats][]byte{}, [formats]bool{}
	for f := range g.buf {
		g.buf[f] = keep(g.buf[f])
	}
}

// bytes returns what sessions of format f get for the first messages of the group, joined.
func (g *group) bytes(f Format) []byte {
	if g.ready[f] {
		return g.joined[f]
	}
	g.ready[f] = true
	if len(g.msgs) == 1 {
		g.joined[f] = g.msgs[0].encoded(f)
		return g.joined[f]
	}
	b := g.buf[f][:0]
	for _, m := range g.msgs {
		b = append(b, m.encoded(f)...)
	}
	g.buf[f], g.joined[f] = b, b
	return b
}

// fanOne writes one group straight to its subscribers. It runs from the end of the list, because a failed write closes
// the session, which moves the last subscriber to its place.
func (l *loop) fanOne(g *group) {
	count := len(g.msgs)
	for i := len(g.shard.list) - 1; i >= 0; i-- {
		sub := &g.shard.list[i]
		if sub.held {
			sub.s.hold(int(sub.slot), g.msgs)
			continue
		}
		if b := g.bytes(sub.s.format); len(b) > 0 {
			l.stats.deliveries += uint64(count)
			l.stats.fanWrites++
			sub.s.write(b)
		}
	}
}

// fanGather notes for each subscriber of a group what it gets.
func (l *loop) fanGather(g *group) {
	for i := len(g.shard.list) - 1; i >= 0; i-- {
		sub := &g.shard.list[i]
		s := sub.s
		if sub.held {
			s.hold(int(sub.slot), g.msgs)
			continue
		}
		b := g.bytes(s.format)
		if len(b) == 0 {
			continue
		}
		l.stats.deliveries += uint64(len(g.msgs))
		if s.gathered == 0 {
			l.fan.dirty = append(l.fan.dirty, s)
			if n := len(l.fan.dirty); n > len(l.fan.bufs) {
				l.fan.bufs = append(l.fan.bufs, nil)
			}
			s.gathered = int32(len(l.fan.dirty))
		}
		at := &l.fan.bufs[s.gathered-1]
		*at = append(*at, b)
	}
}

// sendGathered writes what fanGather noted.
func (l *loop) sendGathered() {
	for i, s := range l.fan.dirty {
		s.gathered = 0
		bufs := l.fan.bufs[i]
		l.stats.fanWrites++
		s.writeAll(bufs)
		clear(bufs[:cap(bufs)])
		l.fan.bufs[i] = bufs[:0]
		l.fan.dirty[i] = nil
	}
	l.fan.dirty = keep(l.fan.dirty[:0])
}

// join adds s to the subject's subscribers on this loop.
func (l *loop) join(sj *subject, s *Session, slot int, held bool) (pos int) {
	sh := &sj.shards[l.index]
	sh.list = append(sh.list, subscriber{s: s, slot: int32(slot), held: held})
	if len(sh.list) == 1 {
		sj.setLoop(l.index, true)
	}
	return len(sh.list) - 1
}

// leave removes the subscriber at pos, and tells the session that is moved to its place.
func (l *loop) leave(sj *subject, pos int) {
	sh := &sj.shards[l.index]
	last := len(sh.list) - 1
	if pos != last {
		moved := sh.list[last]
		sh.list[pos] = moved
		moved.s.subs[moved.slot].pos = int32(pos)
	}
	sh.list[last] = subscriber{}
	sh.list = sh.list[:last]
	if last == 0 {
		sh.list = nil
		sj.setLoop(l.index, false)
	}
}

func (sj *subject) setLoop(i int, on bool) {
	if on {
		sj.loops.Or(1 << i)
	} else {
		sj.loops.And(^uint64(1 << i))
	}
}
