package main

import (
	"fmt"
	"path/filepath"
)

// A drill is one run: a command, and how many of its last lines tell how it went if it
// succeeded.
type drill struct {
	name  string
	args  []string
	lines int
}

// drills returns the runs of a soak on a feed of permits. dir is a folder for what
// they write.
func drills(tool, dir, feed string) []drill {
	runs := []drill{
		{"rules: the published cases", []string{tool, "simulate", "reorder/scenario/testdata/ordering-vectors.yaml"}, 1},
		{"rules: more cases", []string{tool, "simulate", "reorder/scenario/testdata/more-vectors.yaml"}, 1},
	}
	dev := func(name string, flags ...string) {
		args := append([]string{tool, "dev", "-c", "examples/permits/streamrun.yaml", "--feed", feed, "--until-idle"}, flags...)
		runs = append(runs, drill{name, args, 1})
	}
	for seed := 1; seed <= 20; seed++ {
		s := fmt.Sprint(seed)
		dev("dev: main job, seed "+s, "--shuffle", "50", "--duplicate", "10%", "--kill", "3", "--seed", s)
	}
	for seed := 1; seed <= 5; seed++ {
		s := fmt.Sprint(seed)
		dev("dev: with losses, seed "+s, "--shuffle", "50", "--duplicate", "10%", "--lose", "1%", "--kill", "3", "--seed", s)
	}
	for _, partitions := range []string{"1", "3", "16"} {
		dev("dev: "+partitions+" partitions, ten kills", "--shuffle", "200", "--duplicate", "30%", "--kill", "10", "--seed", "7", "--partitions", partitions)
	}
	for _, round := range []string{"first", "second"} {
		dev("dev: one data directory, "+round+" feed", "--shuffle", "50", "--duplicate", "10%", "--kill", "3", "--seed", "1", "--data-dir", filepath.Join(dir, "data"))
	}
	goRun := func(name string, lines int, args ...string) {
		runs = append(runs, drill{name, append([]string{"go"}, args...), lines})
	}
	goRun("rules: 20,000 random cases against the twin", 28, "test", "-count=1", "-v", "-timeout=1h", "-run=Twin", "./reorder/host", "-args", "-cases=20000")
	goRun("simulation: 10,000 seeds", 70, "run", "./integration/sim", "-seeds", "10000")
	goRun("store: 200 SIGKILLs", 2, "test", "-count=1", "-v", "-timeout=1h", "-run=Kill", "./statestore/badgerdb", "-args", "-kills=200")
	goRun("store: damage at every 512 bytes", 1, "test", "-count=1", "-timeout=1h", "-run=Damage", "./statestore/badgerdb", "-args", "-every=512")
	torture := func(verb string, flags ...string) {
		goRun("torture: "+verb, 20, append([]string{"run", "./integration/torture", verb, "-seed", "11"}, flags...)...)
	}
	torture("kill9", "-kills", "20", "-instances", "3", "-nodes", "3", "-events", "1000000", "-partitions", "12")
	torture("stop")
	torture("storm")
	torture("leader", "-nodes", "3")
	torture("coordinator", "-nodes", "3")
	goRun("torture: timeout", 15, "run", "./integration/torture", "timeout", "-seed", "11")
	torture("truncate")
	torture("disk")
	drain := func(name string, lines int, flags ...string) {
		goRun("torture: drain, "+name, lines, append([]string{"run", "./integration/torture", "drain"}, flags...)...)
	}
	drain("1,000,000 held", 4)
	drain("1,000,000 held, a hot key", 4, "-hot")
	drain("50,000 held, a slow broker", 4, "-held", "50000", "-delay", "100ms")
	for _, c := range []struct{ nodes, secure string }{{"1", "1"}, {"3", ""}} {
		runs = append(runs, drill{"real Kafka, nodes: " + c.nodes, []string{"bash", "-c", onRealKafka, "soak", c.nodes, c.secure}, 30})
	}
	goRun("mutants: all sets", 1, "run", "./integration/mutants")
	bench := func(name string, lines int, flags ...string) {
		goRun("bench: "+name, lines, append([]string{"run", "./integration/bench"}, flags...)...)
	}
	bench("cost", 16, "-keys", "100000,1000000", "-rows", "floor,streamrun")
	bench("cost with Badger, keys by Zipf's law", 5, "-zipf", "-rows", "floor,streamrun-badger")
	bench("cost of a copy", 6, "-rows", "floor-copy,streamrun-copy")
	bench("idle", 3, "-idle", "-seconds", "60", "-rounds", "1", "-broker", "real")
	bench("cost beside at_least_once and goka", 8, "-records", "600000", "-rows", "streamrun,streamrun-least,goka-leveldb")
	bench("restore", 9, "-restore", "-records", "10000000", "-keys", "1000000", "-rounds", "5")
	bench("rebalance", 8, "-rebalance", "-rounds", "5", "-broker", "real")
	bench("latency", 10, "-latency", "-broker", "real")
	return runs
}

// onRealKafka runs the tests on a real Kafka of so many nodes, with passwords or without.
const onRealKafka = `
set -e -o pipefail
exports=$(SEC=$2 integration/kafka/up "$1")
trap integration/kafka/down EXIT
eval "$exports"
go test -count=1 -run Real ./topology/internal/kafka/wire
go test -count=1 -v ./integration/realkafka | tee /dev/stderr | grep -E '^ *--- |^ok|^FAIL'
go test -count=1 ./integration/kafka/...
`
