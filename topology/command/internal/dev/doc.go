// Package dev runs an app against an embedded broker, feeds it events as badly as it
// is told, kills it inside its transactions, and says whether what came out is right.
//
//	report, err := dev.Run(ctx, dev.Options{File: file, Feed: "events.ndjson", Kills: 3, UntilIdle: true, Program: self, Logger: logger})
//	report.WriteText(os.Stdout) // its last line is the summary
//	report.OK()
//
// This process has the broker and the feed; the app is a child process (Program run
// -c FILE), so that a kill is a kill. The feed is cut into a segment for each kill and
// one more, and each segment but the last into chunks: the next kill is armed when its
// segment begins, the broker's tap sees the app's requests and kills it at the armed
// point, and the app is started again at once. So every kill finds work left.
//
// When everything is decided the app is stopped in order, every topic is read back
// with read_committed, and verify compares:
//
//	in-order fold   the stored states with package fold, which is told nothing but the deliveries,
//	                and of each the task clock at which it was taken, as the journal has it
//	table           the published table with the stored states
//	folded again    order rows, values and dispositions of every task with a replay of its
//	                inputs and journal by the production task, byte for byte
//	counts          dispositions with the deliveries: all of them exactly, where the contract
//	                leaves none to the times of arrival
//	letters         dead letters with the events that the fold refuses, record by record
//	gaps            parked entities and holes with the numbers that were not delivered, or were given
//	                up before: none may be that could be read in time, whatever the journal says
//	fed again       that a run which delivers nothing new changes nothing
//
// # Invariants
//
//  1. The same seed delivers the same events in the same order and draws the same kills.
//  2. A kill happens while its request is held up, and the process is gone before the
//     connection is cut; whether its transaction was open is what the broker answered
//     before, not what the plan says.
//  3. No verdict is given about what the contract leaves to the times of arrival:
//     it is counted as not compared, and the answer says why.
//  4. What a run says of itself (applied, duplicate ...) is the difference of the
//     committed counts before and after it; what it verifies is everything in the topics.
//
// # Non-obvious
//
//   - The feed is cut between windows of the shuffle where it can be: then an event never
//     waits, while the app comes back, for one that is sent only after it.
//   - A copy of an event that a kill caught in its transaction is still one duplicate: the
//     batch is delivered again under the same offsets, and the aborted counts are gone.
//   - A line of the feed for which the file gives no key is sent as it is, without one:
//     what the app makes of it is a part of what is verified.
//   - The app's child runs in a process group of its own; an interrupt at the keyboard
//     reaches it as a SIGTERM from here.
package dev
