//go:build linux

// Bench measures what a record costs the client, beside others who do the same job on
// the same broker in the same run.
//
//	go run ./integration/bench                       # embedded broker, 100,000 keys
//	go run ./integration/bench -keys 100000,1000000
//	KAFKA_BROKERS=localhost:9092 go run ./integration/bench -broker real
//	go run ./integration/bench -broker embedded,real -latency
//	go run ./integration/bench -zipf -rows floor,streamrun-badger
//	go run ./integration/bench -rows floor,streamrun -rounds 3 -profile DIR
//	go run ./integration/bench -restore -records 10000000 -keys 1000000 -rounds 5
//	go run ./integration/bench -rebalance -broker embedded,real -rounds 5
//	go run ./integration/bench -idle -seconds 60 -rounds 1
//
// The broker is a process of its own; each measurement is another process, which
// reads a topic that was filled before: first every key once, then keys at random.
// From the record after the warm-up to the last one it measures its own CPU time
// (getrusage), allocations and bytes written. Rounds interleave the rows, so that what
// disturbs the machine disturbs all of them; a ratio is the median of the ratios of
// the rounds, its spread beside it.
//
// Rows: the floor is a loop on the requests of sarama that fetches, keeps a map,
// writes changelog and output in transactions and does nothing else. "floor, our
// records" also writes the record and the header that an order costs streamrun. The
// others are sarama's consumer group with its transactional producer, goka, and
// streamrun: exactly_once with the state in memory, "least" under at_least_once,
// "badger" with the state on disk.
//
// With -latency events come at a rate, and what is measured is the time from each to its
// committed output. Two more rows commit as soon as their last transaction has ended, 20
// times a second at most: "floor-auto", and "streamrun-auto" with its AutoInterval. What
// a fetch waits for more events is 5 ms for both. CPU is what a record cost at that rate,
// idle the share of the machine that nobody used. The share of the time in which a commit
// keeps a worker waiting is told with a rate that leaves some idle: without a rate, client
// and broker share all of a small machine, and the worker waits for the broker's turn.
//
// With -restore it fills a changelog once, in committed transactions, and reads it back:
// into a map, by a loop on the requests of sarama, and as a runner that starts does, into
// memory and into Badger, from the first task that is to be restored to the last that is.
// How long after its start the instance, which has kept its place in the group, began to
// restore is told, too.
//
// With -rebalance two instances share 12 partitions of events that come at a rate, and
// what is measured is for how long a partition of the output stands still: the longest
// time between the appends of what is committed of it. Each round is a pair: a run in
// which nothing happens, and one in which a third instance joins, and leaves when it is
// told to end; of that one count the partitions that one producer writes all the time, and
// of the other one the same. When a batch was appended is its LogAppendTime. The embedded
// broker writes none: there it is when a reader that waits for it, committed or not, has
// it.
//
// With -idle an instance takes a few events, is left alone for -seconds, and what it uses of
// a core in as many more is measured: with its state in memory and in Badger, whose
// directories are closed when nobody has used them for 30 s.
//
// Bars are printed with their verdict; a bar that is missed is exit code 3.
//
// # Non-obvious
//
//   - The bytes of goka with leveldb include what it writes to its disk.
//   - goka counts events and writes no output: it does less than the others. With its
//     state in memory it is left out where there are more than 200,000 keys, which it
//     would take minutes to hold.
//   - All rows have one loop over four partitions but sarama's, which has a goroutine
//     and a transaction for each; streamrun has -workers.
package main
