// Package decide has the decisions of the runner that need nothing of Kafka: which
// tasks an assignment gives, which worker has which, whether a batch may still speak
// for its tasks, what time it is for a task, and when to try again.
//
//	tasks, split := decide.Tasks(topics, assigned)
//	fresh := holdings.Assign(tasks)
//	workers := decide.Spread(load, len(fresh))
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
//
// # Non-obvious
//
//   - A Clock that starts behind (the app was down) runs at the pace of the wall from
//     where it stood, as long as jumping would end a wait; it jumps when nothing is
//     due in between. A wait that began in the backlog lasts as long as any other.
package decide
