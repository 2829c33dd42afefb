// Package decide has the decisions of the runner, which need nothing of Kafka: which
// tasks an assignment gives, which worker has which, what a worker does next, whether
// a batch may still speak for its tasks, what time it is for a task, how complete a
// standby is, and when to try again. Everything here is told what happens and says what
// is to be done; the runner's goroutines carry it out.
//
//	tasks, split := decide.Tasks(topics, assigned)
//	fresh := holdings.Assign(tasks)
//	workers := decide.Spread(load, len(fresh))
//	...
//	w.Assigned(fresh)
//	w.Stepped(holding, records, bytes, changed, now)
//	w.Passed(now)
//	for _, a := range w.Take() {
//		carryOut(a)
//	}
//	...
//	clock.Mark(source, sent, highWater) // a fetch answer
//	clock.Read(source, position)        // a step
//	now := clock.Advance(wall, due, armed)
//
// # Invariants
//
//	D1. A Clock never goes back, and never beyond a wall time at which something was
//	    in the sources that the task has not read, unless the source is blocked.
//	D2. A Holding is intact only if its task was held without a break since it was
//	    handed out: a task lost and assigned again has another one.
//	D3. A Worker has one commit in flight. It speaks for all tasks that run, and has
//	    all work that they have; what is stepped meanwhile is dropped with it if it is
//	    not committed.
//	D4. A task is given up with work that is not committed only when it was lost, or
//	    when the time for its release is over.
//	D5. Offsets whose commit has an unknown fate are not sent again before the task was
//	    restored.
//	D6. A Trail is never said to be complete as of a time at which the partition had
//	    something that is not read.
//
// # Non-obvious
//
//   - A Clock that starts behind (the app was down) runs at the pace of the wall from
//     where it stood, as long as jumping would end a wait; it jumps when nothing is
//     due in between. A wait that began in the backlog lasts as long as any other.
package decide
