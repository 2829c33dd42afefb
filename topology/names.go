package topology

import (
	"fmt"
	"strconv"
)

// Names gives the names of everything that an app owns in Kafka and on disk. They
// can never change: see the package comment. Generation is 0 for the live app and
// counts rebuilds from 2 (the second life of the state); Names{App: "billing"} is
// the live one.
type Names struct {
	App        string
	Generation int
}

// prefix is the app's name, with the generation where there is one.
func (n Names) prefix() string {
	if n.Generation < 2 {
		return n.App
	}
	return n.App + ".g" + strconv.Itoa(n.Generation)
}

// Group returns the consumer group.
func (n Names) Group() string { return n.prefix() }

// TransactionalID returns the transactional id of a worker of an instance.
func (n Names) TransactionalID(instance string, worker int) string {
	return fmt.Sprintf("%s-%s-%d", n.prefix(), instance, worker)
}

// Changelog returns the changelog topic of a store.
func (n Names) Changelog(store string) string { return n.prefix() + "-" + store + "-changelog" }

// Order returns the order topic of an ordering node.
func (n Names) Order(node string) string { return n.prefix() + "-" + node + "-order" }

// Journal returns the journal topic of a sub-topology.
func (n Names) Journal(sub string) string { return n.prefix() + "-" + sub + "-journal" }

// Commands returns the commands topic of a sub-topology.
func (n Names) Commands(sub string) string { return n.prefix() + "-" + sub + "-commands" }

// Repartition returns the topic of a named repartition.
func (n Names) Repartition(name string) string { return n.prefix() + "-" + name + "-repartition" }

// Effects returns the request topic of an effect.
func (n Names) Effects(effect string) string { return n.prefix() + "-" + effect + "-effects" }

// Ledger returns the ledger topic of an effect.
func (n Names) Ledger(effect string) string { return n.prefix() + "-" + effect + "-ledger" }

// Meta returns the meta topic, which all generations of an app share.
func (n Names) Meta() string { return n.App + "-meta" }

// DeadLetters returns the dead-letter topic of an ordering node that names none.
func (n Names) DeadLetters(node string) string { return n.prefix() + "-" + node + "-dlq" }

// Task returns the name of a task: "totals_3".
func Task(sub string, partition int32) string { return sub + "_" + strconv.Itoa(int(partition)) }

// TaskDir returns the directory of a task below the data directory.
func (n Names) TaskDir(sub string, partition int32) string {
	return n.prefix() + "/" + Task(sub, partition)
}
