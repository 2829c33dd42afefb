// Package runner runs the tasks of a topology against Kafka: it joins the app's
// group, restores, fetches, steps and commits, and stops when it is told to.
//
//	topo, err := b.Build()
//	...
//	r, err := runner.New(topo, runner.Config{Brokers: []string{"localhost:9092"}, DataDir: "/var/lib/billing"})
//	...
//	err = r.Run(ctx) // blocks; ends gracefully with ctx
//
// An instance has workers. A worker owns whole tasks, and commits what all of them
// did in one transaction of its own producer, while it goes on with the next batch.
// What it decides is in package task and in internal/decide; here are the goroutines
// that carry it out:
//
//	Run                  waits for the others
//	the group's          calls assignment, which gives tasks to workers and takes them back
//	worker.loop          owns everything of a worker
//	flights of a worker  one fetch, one transaction, restores; each reports back once
//	standbys.loop        keeps the state of tasks warm that others hold (Config.Standbys)
//
// # Formats
//
// The file "instance" in the directory of an app in the data directory, one line:
//
//	+-----+-------+------+-------+---------+----+
//	| "1" | space | name | space | workers | \n |
//	+-----+-------+------+-------+---------+----+
//	name: of the instance, for transactional ids and the group; workers: in decimal,
//	how many producers may have left a transaction open
//
// Beside it, the file "lock" is locked while the instance runs, and every task has a
// directory (topology.Names.TaskDir), which is badgerdb's.
//
// # The state of a task
//
// Under Memory it is in memory and ends with the process. Under Badger it is a copy of
// the changelogs in the task's directory, written behind every second, or sooner when
// half of what may be in memory is not written; then Apply waits, and with it the
// worker, at all of it. A restore starts where the directory stands. The directory of
// a task that moved away stays, and has a part of the way behind it if the task
// returns. It is emptied, and the state read from the topics, where it is damaged, of
// another cluster, generation, topic or layout, older than the changelogs keep
// deletions, or stands for offsets that a changelog does not have. How old it is counts
// from the last heartbeat that the group has accepted while the task was held. Where the
// disk fails, the task is given up and restored from its directory again, for two minutes,
// or two sessions if they are longer; the other tasks go on. A directory in which Badger
// goes on after a failure is kept from everybody until that Badger has ended.
//
// # Others while a drain goes on
//
// What a hole let wait goes on in parts when it is filled, a part in each batch, and the
// batch is committed as soon as it has it: records of other entities wait for the commit
// of both. A part is at first 128 events, as many as 8192 while commits take less than half
// the interval, or no longer than with the least of a drain; else it becomes less,
// down to the 128 and two events for every seven records that came. So a slow broker makes
// the drain slow, not the others.
//
// # Memory
//
// The live heap of an instance is at most about the sum of
//
//	each event that is held       640 bytes, and 3 times key, value and headers
//	each worker                   400 MiB: two batches, one of which is on its way and the
//	                              other one encoded where it is full, of
//	                              120,000 records or 24 MiB of input, at 512 bytes a record
//	                              and 3 times the input, and 128 MiB of what is produced,
//	                              half of it kept for what comes
//	each source partition         4 MiB: 1 MiB that waits and an answer, decoded
//	each task, under Badger       StoreMemory; under Memory, its state
//
// A worker comes near that only while it catches up; handlers that write much more than
// they read add to it. The events held are no more than max_held for each entity that
// waits, and than what comes in max_wait; the metric records_held has how many there are.
// Until a collection the garbage is as much again (GOGC=100), so the process takes twice
// the live heap, or what GOMEMLIMIT says. "torture drain" in integration holds an app to
// this.
//
// # Invariants
//
//	N1. Rows are given to a backend only after the transaction that carries them is
//	    known to be committed, and only if the task is still held.
//	N2. Every transaction has the offsets of every task of its worker, and is sent
//	    only while all of them are held without a break.
//	N3. An answer that did not come is never guessed: the producer is initialised,
//	    then the offsets are read back.
//	N4. What was stepped on top of an aborted transaction is dropped with it.
//	N5. Revoked returns only when the tasks are committed or dropped.
//	N6. Every producer is initialised before any committed offset is read.
//	N7. A task is stepped only from the state of its committed offsets: restore reads
//	    the offsets, then the ends of the changelogs, then up to them, then the offsets
//	    again.
//	N8. Without transactions (AtLeastOnce) a batch is acknowledged phase by phase before
//	    its offsets are sent: outputs and letters; stores; order rows and journal. Where
//	    a partition has no offset yet, the one that it begins at is committed first, so
//	    that a crash does not leave state without offsets.
//	N9. A state is opened before the ends of its changelogs are read, and its directory
//	    by one holding of the task at a time.
//	N10. A standby reads what is committed, holds no offsets and commits nothing. A task
//	    that comes to its instance is restored by N7 from where the standby is; not, if a
//	    changelog is another by then (its topic id), was cut, or was last known to be
//	    read to its end too long ago.
//
// # Non-obvious
//
//   - A transaction whose fate stays unknown (it was given up in a revocation) takes
//     its tasks' committed offsets in doubt too: they are restored from the topics
//     before anything of them is sent again.
//   - With AutoInterval the transaction of the next commit is opened while its work comes
//     in: the last one's partitions and its group are added to it, so that the commit has
//     two answers less to wait for. One that was opened long ago, for work that was lost
//     since, is ended by initialising the producer.
//   - A named instance that was fenced waits before it initialises its producer: if
//     another process has its name, the group says so by then, and the two do not
//     fence each other in turns.
//   - A topic of the app's own is created only where nothing is committed that it would
//     hold: an empty one in place of one that was deleted would be state that is lost. The
//     meta topic has the ids of those that the app has read or has its state in, since
//     others may make one again: offsets of the one before mean nothing in it.
//   - A task without history starts its clock at the wall time; nothing waits yet
//     that could be ended by it.
//   - After a downtime the task clock goes on from where it stood, at the pace of the
//     wall, until no wait would be ended by jumping (see internal/decide).
//   - A task that moves to another instance stays warm here, if that is to be a standby of
//     it: a state in memory is handed to the standbys, a directory is opened again.
package runner
