// Package pebble is the durable engine of one node: one Pebble database that holds the Store, the Registry, the
// histories of the Bus, the Log, the Queue and the Schedule, so that one fsync can cover writes to all of them.
//
// # Promise
//
// A write that returned nil survives the death of the process, of the operating system and, with a disk that honours
// fsync, of the power. It does not survive the disk. Readers only see what is durable: nobody can act on a write that
// a crash may still take back.
//
// # Way of a write
//
//	caller      check, copy, queue (bounded; full: wait, or ErrBusy for a publish)
//	committer   take one, yield once, take what else is there; check conditions; one batch; one fsync;
//	            show it to readers; answer
//	courier     hand messages to subscribers and changes to watchers, in commit order
//
// There is one committer goroutine, so conditions are checked serially, and every writer that arrives during an fsync
// shares the next. The yield before the batch is closed lets the writers that were just answered take part again:
// without it the first to return is committed alone while all others wait for a second fsync.
//
// # Keys
//
// Numbers are big-endian, the first byte names the space.
//
//	r|key            revision8 value                     Store record
//	k|key            expires_ms8 value                   Registry key
//	l|name           expires_ms8 token8 owner            Registry lease
//	t|subject        id8 base8 keep4 age_ms8             Bus subject with history
//	h|id8|offset8    time_us8 data                       Bus message
//	g|log            id8 token8 floor8   Log
//	e|id8|seq8       data                Log entry
//	p|id8|at8        set8 size8 parts4 crc4   Log snapshot
//	q|id8|set8|part4 data                part of a snapshot
//	J|id8            job     Queue: a job as it was put
//	j|id8            state   what has changed of it since
//	R|tube4|pri4|id8         ready jobs
//	D|tube4|due_ms8|id8      delayed jobs
//	B|tube4|id8              buried jobs
//	U|tube4|hash16   id8     unique texts of jobs
//	T|tube           id8     tube
//	z|key            timer   Schedule
//	Z|due_ms8|seq8   key     timers by due time
//	G|group|due_ms8|seq8 key timers of a group
//	S|batch          n8      number of this commit
//	S|boot           n8      how often the database was opened
//	S|epoch          n8      epoch of the Bus, random at birth
//	S|floor          n8      highest offset of a dropped subject
//	S|format         n8      version of this layout
//	S|job            n8      ids of jobs are handed out below it
//	S|log            n8      last id of a log or of the parts of a snapshot
//	S|revision       n8      revisions are handed out below it
//	S|timer          n8      numbers of timers are handed out below it
//	S|token          n8      last fencing token
//	S|topic          n8      last id of a subject
//	S|tube           n8      last id of a tube
//
// A reserved job keeps its index key: after a crash it is ready (or delayed, or buried) again. The end of a lease and of a
// delay need no fsync, since they happen again; nor does any reservation.
//
// Beside Pebble's files lies COMMITTED. It names a commit that was durable when it was written (at every flush and at a
// clean end). A database that comes back with fewer commits has lost some, for example by a flipped bit in a file that
// ends where its damage begins: Open refuses it.
//
// # Trouble
//
//   - The disk is nearly full: below Options.MinFree writes are refused with ErrDiskFull while there is still room to
//     finish what was begun; below half of it also those that free space. Reads go on. It ends by itself.
//   - A commit hangs: after Options.CommitTimeout its callers get ErrTimeout and new ones ErrBusy until it returns.
//   - The log can not be written or synced: Options.Fatal ends the process. The state of the page cache is unknown
//     then, so nothing may be answered; the next start recovers what was acknowledged.
package pebble
