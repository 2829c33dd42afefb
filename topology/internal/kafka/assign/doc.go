// Package assign shares the tasks of a group among its members. Both drivers of the
// seam use it: the member that leads a generation, and the broker in memory.
//
//	plan, err := assign.Assign(members, partitions, standbys)
//	plan["member-1"].Partitions // whole tasks
//	plan["member-1"].Standby    // numbers of tasks that others have
//
// The unit is a task number: the partitions of one number, of every topic that has
// it, stay together.
//
// # Invariants
//
//	A1. A task goes to one member, and only if no other member still has a part of it:
//	    when that one has let go it joins again, and the next generation gives the task
//	    to its new member.
//	A2. The shares of members that read the same topics differ by one at most.
//	A3. A task stays with the member that has it, as far as A2 allows.
//	A4. A task that moves, or that nobody has, goes to the member with most state of it
//	    among those that A2 has room for. A member that must give up some tasks gives up
//	    those first of which such a member has state.
//	A5. A task has as many standbys as were asked for, or as there are members to have
//	    them; never the member to which it goes. Those with most state come first, and
//	    they are spread evenly.
//	A6. The result depends on the arguments only.
//
// # Non-obvious
//
//   - While a task waits to be let go (A1), the member that is to have it stands by for
//     it, beside the others: what it has of the state is not closed for a generation.
//     The member that lets it go may be one of the others already, since it has all of
//     the state.
//   - A member that does not tell what state it has (an older version, another client)
//     has none, and is no standby: it would not know of it.
package assign
