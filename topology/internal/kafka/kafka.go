package kafka

import (
	"context"
	"time"

	"github.com/streamrun/streamrun/topology/internal/record"
)

// A Cluster opens connections to one Kafka cluster. Everything that it opens owns
// its connections, so that a long poll of one role never blocks another. A Cluster
// is safe for concurrent use; what it opens is not, unless said otherwise.
type Cluster interface {
	// ID returns the cluster id.
	ID(ctx context.Context) (string, error)
	// Fetcher opens a reader.
	Fetcher(opts FetchOptions) (Fetcher, error)
	// Producer opens a producer; it can do nothing before Init.
	Producer(opts ProducerOptions) (Producer, error)
	// Group opens a member of a consumer group.
	Group(opts GroupOptions) (Group, error)
	// Admin opens a client for topics and offsets; it is safe for concurrent use.
	Admin() (Admin, error)
	// Close closes everything that is still open.
	Close() error
}

// FetchOptions configures a Fetcher.
type FetchOptions struct {
	MinBytes          int32         // an answer waits for so many bytes; 0: 1
	MaxWait           time.Duration // ... or so long; 0: 100 ms
	MaxBytes          int32         // of one answer; 0: 16 MiB
	PartitionMaxBytes int32         // of one partition in an answer; 0: 1 MiB
	ReadUncommitted   bool          // the default reads committed records only
}

// A Fetcher reads whole batches from given positions. It keeps no positions: the
// caller does.
type Fetcher interface {
	// Fetch returns what follows the positions, at most one Fetched for each, in
	// their order; a partition with nothing new and unchanged marks may be left
	// out. It waits as the options say and returns an empty slice when there is
	// nothing. The records alias memory that stays valid as long as they are
	// referenced. An error is about the whole answer (context, no broker reached;
	// a topic or partition that does not exist is ErrUnknownTopic); what else
	// concerns one partition is in its Fetched. Leader changes, epochs and broken
	// connections are mended inside.
	Fetch(ctx context.Context, positions []Position) ([]Fetched, error)
	// Unanswered returns those partitions of the last Fetch of which nobody said anything,
	// since their leader is gone or was another: that they were left out tells nothing.
	// It is called between calls of Fetch.
	Unanswered() []record.TopicPartition
	// Wait changes, from the next Fetch on, for how many bytes an answer waits and
	// how long.
	Wait(minBytes int32, maxWait time.Duration)
	Close() error
}

// Position is where the next read of a partition starts.
type Position struct {
	record.TopicPartition
	Offset int64
}

// Fetched is what one answer says of one partition.
type Fetched struct {
	record.TopicPartition
	Records    []record.Record // in offset order; no control records, nothing aborted
	Next       int64           // position after everything read, control and aborted records included
	Bytes      int             // size of the records' keys and values, for budgets
	LogStart   int64
	HighWater  int64 // end of the replicated log
	LastStable int64 // end of what is decided; a committed reader cannot pass it
	// Err is nil, ErrOffsetOutOfRange, or *UndecodableError; then Next is the
	// position asked for and Records are empty. The ends of the log are known with
	// ErrOffsetOutOfRange, or -1 where they could not be asked for.
	Err error
}

// ProducerOptions configures a producer.
type ProducerOptions struct {
	TransactionalID string
	// Plain has no transactions, and no TransactionalID. A unit of work is bracketed
	// by Begin and End all the same, but what is acknowledged is there for everybody,
	// and stays; SendOffsets commits at once, and only the member generation fences
	// it; Init fences nobody.
	Plain              bool
	TransactionTimeout time.Duration // 0: 10 s
	RequestTimeout     time.Duration // 0: 5 s; a request without an answer by then is indefinite
}

// ProducerID is what InitProducerId answers; it is the writer in offset metadata.
type ProducerID struct {
	ID    int64
	Epoch int16
}

// A Producer writes in transactions, at most one at a time, unless it is plain.
// Its methods are called by one goroutine, but Encode.
//
// Errors: ErrFenced (47, 48 on a produce, 90: a newer producer exists: stop,
// Init again); ErrIndefinite (no answer: the request may or may not have been
// applied: Init, then read the offset metadata back); ErrIllegalGeneration and
// ErrUnknownMember (also 82: another has taken the static place) from SendOffsets;
// ErrAborted when the broker ended the transaction; anything else is definite and
// the transaction can be aborted.
// Answers 14, 15, 16, 51 (and 88 on reads) are waited for inside, until ctx ends.
type Producer interface {
	// Init ends whatever an earlier producer of this transactional id left open,
	// fences it, and returns the new producer id and epoch.
	Init(ctx context.Context) (ProducerID, error)
	// Begin starts a transaction. It sends nothing.
	Begin() error
	// Open has the broker know the transaction, which has begun, before there is anything
	// to be sent: what the last one wrote to is added to this one. What it then does not
	// write to gets a marker and no more.
	Open(ctx context.Context) error
	// Encode prepares the outputs of each slice for Produce, which sends them in their
	// order per partition; they, and the slices, must not change before it returns. Unlike
	// all other methods it may be called at any time, also while another goroutine is in
	// one of them.
	Encode(outputs ...[]record.Output) Encoding
	// Produce encodes what is left to be encoded and sends everything, adding partitions
	// to the transaction first. It does not wait for acknowledgements; it returns the
	// first error known so far. The outputs are not needed any more when it returns.
	Produce(ctx context.Context, e Encoding) error
	// Flush waits until every Produce of the transaction so far is acknowledged. acked has,
	// per partition produced to, the offset of the first record acknowledged by
	// this transaction (the journal's position comes from it).
	Flush(ctx context.Context) (acked map[record.TopicPartition]int64, err error)
	// SendOffsets adds the offsets to the transaction under the member's
	// generation (KIP-447). It is called after Flush.
	SendOffsets(ctx context.Context, group string, member Member, offsets []CommittedOffset) error
	// End commits or aborts. A nil error means that the decision is taken; the
	// markers may land later.
	End(ctx context.Context, commit bool) error
	// Resent returns how many batches were sent again since the producer was opened: a
	// broker refused them for the moment, or their answer was lost.
	Resent() int64
	Close() error
}

// An Encoding is outputs for one Produce of the producer that made it. It belongs to
// one goroutine at a time. One that is not produced is left to the garbage collector.
type Encoding interface {
	// More encodes some more of the outputs, and reports whether there is any use in
	// calling it again. Nobody has to: it is for who has time before the transaction
	// begins.
	More() bool
}

// Member is this process in the group, as TxnOffsetCommit must name it.
type Member struct {
	ID         string
	InstanceID string // static membership; empty: dynamic
	Generation int32  // the member generation
}

// CommittedOffset is a committed offset with its metadata.
type CommittedOffset struct {
	record.TopicPartition
	Offset   int64 // next to read; -1: none committed
	Metadata string
}

// GroupOptions configures a group member.
type GroupOptions struct {
	Group            string
	InstanceID       string
	Topics           []string
	SessionTimeout   time.Duration // 0: 45 s
	RebalanceTimeout time.Duration // 0: 60 s
	// Standbys is how many other members keep the state of a task warm; what the member
	// says that leads a generation counts.
	Standbys int
}

// A Group is a member of a consumer group, for membership only: it reads nothing.
type Group interface {
	// Run joins, and calls the handler until ctx ends; then it revokes, leaves
	// (a static member does not leave) and returns nil. Other errors are final.
	Run(ctx context.Context, h GroupHandler) error
	// Confirmed returns the last time of which it is known that the member still had what
	// it was assigned, when a heartbeat was sent that the group has accepted; zero: none
	// was yet. Any goroutine may call it.
	Confirmed() time.Time
	Close() error
}

// A GroupHandler is told of assignments. Its methods are called by one goroutine.
type GroupHandler interface {
	// Assigned tells the whole assignment of a member generation, sorted. It is
	// called for every generation, also when nothing moved.
	Assigned(member Member, partitions []record.TopicPartition)
	// Revoked returns when every task of the partitions is committed or dropped.
	// Assigned of the generation that takes them away was called before, so that the
	// member told last is the one to commit with.
	Revoked(partitions []record.TopicPartition)
	// Lost is Revoked without the right to commit: session lost or fenced.
	Lost(partitions []record.TopicPartition)
	// State returns how much this member has of the state of tasks that it does not
	// hold, by task number: a task that moves goes to whoever has most of it. A task
	// number stands for all tasks with partitions of that number. It is called before
	// every join, and must return soon.
	State() map[int32]int64
	// Standby tells the numbers of the tasks, sorted, whose state this member is to keep
	// warm: all of them, once in every generation, after Assigned and before Revoked. A
	// task that the member still has, and is about to be told Revoked of, may be among
	// them. It must return soon.
	Standby(numbers []int32)
}

// Topic describes a topic, wanted or found.
type Topic struct {
	Name       string
	Partitions int32
	ID         [16]byte          // found; tells a topic from one of the same name that was made again
	Configs    map[string]string // cleanup.policy, retention.ms ...; nil: the cluster's defaults
}

// Admin looks at topics and offsets and creates topics.
type Admin interface {
	// Describe returns the topics that exist, without their configs; the others are absent.
	Describe(ctx context.Context, topics ...string) (map[string]Topic, error)
	// Configs returns the configs of topics, defaults included; topics that do not
	// exist are absent. A caller that may not see one gets ErrNotAuthorized.
	Configs(ctx context.Context, topics ...string) (map[string]map[string]string, error)
	// Create creates a topic with the cluster's default replication; one that
	// exists is ErrTopicExists.
	Create(ctx context.Context, topic Topic) error
	// EndOffsets returns the marks of partitions: log start, high-water mark, last stable offset.
	EndOffsets(ctx context.Context, partitions []record.TopicPartition) (map[record.TopicPartition]Marks, error)
	// Committed reads committed offsets. With stable set it waits until no pending
	// transaction covers them (RequireStable); without, it answers what is there.
	// A partition without one has Offset -1.
	Committed(ctx context.Context, group string, partitions []record.TopicPartition, stable bool) (map[record.TopicPartition]CommittedOffset, error)
	Close() error
}

// Marks are the ends of one partition.
type Marks struct{ LogStart, HighWater, LastStable int64 }
