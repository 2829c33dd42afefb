// Package simulation holds what a simulation of the runner is told to do: as a value, as a
// file that a person can read and change, and made as small as a failure allows.
//
//	s := simulation.Draw(4711)               // all that the seed draws
//	small := simulation.Shrink(s, 1000, run) // what its failure needs
//	text := small.Text()                     // as a file
//	again, err := simulation.Parse("simulation-4711.yaml", text)
//
// A simulation is settings and numbered steps. In a step one thing happens, which the
// seed and the number of the step draw: events are written, a request or an answer
// passes, time passes, or a fault happens. What can be left out is steps, and faults of
// steps that stay.
//
// # The file
//
// Its lines stand in the order of this example. It is YAML too. What follows " #" is a
// comment, and so is a line that begins with #. (What follows <- is said here only.)
//
//	schema: runner-simulation/1
//	seed: 4711
//	partitions: 1             <- then a line for every other field of Settings
//	...
//	steps:                    <- by number; a step that is not here does not happen
//	- 3                       # 20ms: write [{key-0 1}]
//	- 12 kill                 # 1.204s: kill 0 before EndTxn
//	- 13 *                    <- with whatever fault is drawn
//	breaks: I3                # I3: the state of key-0 is 2,, want 1,2,
//	trace: 91c3a5f0d4e81b27   <- 16 hexadecimal digits: the hash of all that happened
//
// A step that names a fault has that fault or, when another is drawn by now, none. The
// last two lines say how the run ended that the file was written of; breaks says
// nothing when every promise was kept.
//
// # Invariants
//
//  1. Parse takes exactly what Text writes, comments apart: lines that are unknown,
//     missing or left over are errors that say where.
//  2. The draws of a step depend on the seed and its number alone, not on other steps.
//     What they meet depends on all steps.
//  3. Shrink returns only what run has said to fail.
//
// # Non-obvious
//
// The version is a line of the file and not its first byte, since people write it too;
// Is tells such a file from others.
package simulation
