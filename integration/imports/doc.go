// Package imports holds the test of the import rules: which room of the project
// may import which, and which room is the home of which library.
//
// Tour: rooms_test.go is the table, with the reason of every rule; rules_test.go
// judges a package by it; imports_test.go reads the packages there are. A new package is added to the table, or the test fails and says so.
//
// # Invariants
//
//  1. Every package of the module stands in the table.
//  2. A package imports only rooms that its row names, others of its own row, and
//     the libraries that have it as a home.
//  3. Test files may in addition import the test libraries, and the rooms that the
//     row of their package names for tests.
//  4. A package that is an independent witness does not reach what it bears witness
//     about on any path.
//
// # Non-obvious
//
// The rules hold for test files too: a library that a test imports binds the
// project as much as one that the code imports.
//
// The files are read here and not by the go command, for two reasons: files for
// another operating system or build tag keep the rules as well, and a cached test
// result is void as soon as one of them changes.
package imports
