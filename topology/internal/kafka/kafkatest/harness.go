package kafkatest

import "github.com/streamrun/streamrun/topology/internal/kafka"

// A Harness is one cluster under test and what its backend can be made to do.
type Harness struct {
	// Cluster is the case's own, and closed by whoever opened the harness (the suite
	// may have closed it before).
	Cluster kafka.Cluster

	// Prefix begins the names of the case's topics, groups and transactional ids.
	// It is needed where there is something else in the backend: no two cases on one
	// backend may have the same.
	Prefix string

	// Inject makes the backend misbehave until the fault is used up or removed.
	// remove also lets the backend handle the requests that were LostLater, and
	// returns when it has.
	Inject func(f Fault) (remove func())

	// HoldMarkers keeps the markers of transactions that end from now on from
	// landing, until release is called.
	HoldMarkers func() (release func())

	// Kick removes a member from its group without its doing.
	Kick func(group string, member kafka.Member) error

	// Without gives, for each feature that the backend lacks, the reason.
	Without map[Feature]string
}

// A Feature is something that a case needs of a backend.
type Feature string

// The features.
const (
	InjectCodes      Feature = "inject error codes"
	InjectLost       Feature = "lose answers"
	InjectLostLater  Feature = "handle a request after its sender gave up"
	HoldMarkers      Feature = "hold transaction markers"
	KickMember       Feature = "remove a group member"
	StaticMembership Feature = "static membership"
	SizeLimit        Feature = "limit on the size of a record"
)

// A Request is a kind of request, by its number in the Kafka protocol.
type Request int16

// The requests that faults are injected into.
const (
	Produce         Request = 0
	Fetch           Request = 1
	ListOffsets     Request = 2
	OffsetCommit    Request = 8
	OffsetFetch     Request = 9
	InitProducerID  Request = 22
	AddPartitions   Request = 24
	AddOffsets      Request = 25
	EndTxn          Request = 26
	TxnOffsetCommit Request = 28
)

// String returns the name of the request.
func (r Request) String() string {
	switch r {
	case Produce:
		return "Produce"
	case Fetch:
		return "Fetch"
	case ListOffsets:
		return "ListOffsets"
	case OffsetCommit:
		return "OffsetCommit"
	case OffsetFetch:
		return "OffsetFetch"
	case InitProducerID:
		return "InitProducerId"
	case AddPartitions:
		return "AddPartitionsToTxn"
	case AddOffsets:
		return "AddOffsetsToTxn"
	case EndTxn:
		return "EndTxn"
	case TxnOffsetCommit:
		return "TxnOffsetCommit"
	}
	return "request"
}

// An Outcome says what becomes of a request that meets a fault.
type Outcome uint8

// The outcomes.
const (
	Answered    Outcome = iota // answered with the fault's code, not handled
	LostNever                  // no answer, never handled
	LostApplied                // no answer, handled at once
	LostLater                  // no answer, handled when the fault is removed
)

// String returns the outcome in words.
func (o Outcome) String() string {
	return [...]string{"answered", "lost, never applied", "lost, applied", "lost, applied later"}[o]
}

// A Fault is a misbehaviour of the backend.
type Fault struct {
	Request Request
	Code    int16 // of the Kafka protocol; for Answered
	Outcome Outcome
	Times   int // so many requests meet it; Always: until it is removed
}

// Always is the Times of a fault that stays until it is removed.
const Always = 1 << 30
