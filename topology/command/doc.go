// Package command is the command line of streamrun as a library, so that a program
// with a topology compiled in has the same verbs.
//
//	os.Exit(command.Main(topo)) // a program of one's own: run, describe, topics, simulate, generate, version
//	os.Exit(command.Main(nil))  // streamrun: the topology is in a file; check and dev besides
//
// What a verb answers goes to stdout, everything else to stderr. Nothing is coloured.
// Every error says what to do next.
//
// # Exit codes
//
// They never change their meaning.
//
//	  0  done
//	  1  an unexpected failure
//	  2  the command line is wrong
//	  3  the answer is no: a case differs, or what was verified is not so
//	  5  refused: going on could lose something; the message says what to decide
//	  6  the broker cannot be reached: trying again later makes sense
//	 78  a topology, scenario or event file is wrong
//	130  interrupted (SIGINT)
//
// SIGTERM stops in order what would go on for ever (run, dev) with 0. What was to come
// to an end (dev --until-idle) and did not has failed: 1.
//
// # Invariants
//
//  1. Main reads os.Args and the environment, and nothing else of the process; it
//     returns the exit code instead of exiting, except on a second signal.
//  2. A command line that is wrong (2, 78) has started nothing and written no file.
//
// # Non-obvious
//
// dev runs this very program once more as the app, since what it kills must be a
// process.
package command
