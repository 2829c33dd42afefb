package mem

import (
	"errors"
	"fmt"

	"github.com/streamrun/streamrun/topology/internal/kafka"
)

// code is an error code of the Kafka protocol.
type code int16

const (
	unknownServerError       code = -1
	offsetOutOfRange         code = 1
	corruptMessage           code = 2
	unknownTopicOrPartition  code = 3
	leaderNotAvailable       code = 5
	notLeader                code = 6
	requestTimedOut          code = 7
	messageTooLarge          code = 10
	offsetMetadataTooLarge   code = 12
	coordinatorLoading       code = 14
	coordinatorNotAvailable  code = 15
	notCoordinator           code = 16
	illegalGeneration        code = 22
	inconsistentProtocol     code = 23
	unknownMemberID          code = 25
	topicAuthorization       code = 29
	groupAuthorization       code = 30
	clusterAuthorization     code = 31
	invalidTimestamp         code = 32
	topicAlreadyExists       code = 36
	invalidPartitions        code = 37
	invalidProducerEpoch     code = 47
	invalidTxnState          code = 48
	invalidProducerIDMapping code = 49
	invalidTxnTimeout        code = 50
	concurrentTransactions   code = 51
	txnIDAuthorization       code = 53
	fencedInstanceID         code = 82
	unstableOffsetCommit     code = 88
	producerFenced           code = 90
)

// passes reports whether a client waits for the answer to pass.
func (c code) passes() bool {
	switch c {
	case leaderNotAvailable, notLeader, coordinatorLoading, coordinatorNotAvailable, notCoordinator,
		concurrentTransactions, unstableOffsetCommit:
		return true
	default:
		return false
	}
}

// errCorrupt is the cause of an UndecodableError.
var errCorrupt = errors.New("mem: batch declared corrupt by a fault")

// err returns the seam's error for an answer to a request, nil for none.
func (c code) err(req Request) error {
	var known error
	switch c {
	case 0:
		return nil
	case unknownServerError, requestTimedOut:
		known = kafka.ErrIndefinite
	case offsetOutOfRange:
		known = kafka.ErrOffsetOutOfRange
	case corruptMessage:
		known = errCorrupt
	case unknownTopicOrPartition:
		known = kafka.ErrUnknownTopic
	case messageTooLarge:
		known = kafka.ErrTooLarge
	case invalidTimestamp:
		known = kafka.ErrTimestamp
	case illegalGeneration:
		known = kafka.ErrIllegalGeneration
	case unknownMemberID, fencedInstanceID:
		known = kafka.ErrUnknownMember
	case topicAuthorization, groupAuthorization, clusterAuthorization, txnIDAuthorization:
		known = kafka.ErrNotAuthorized
	case topicAlreadyExists:
		known = kafka.ErrTopicExists
	case invalidProducerEpoch, invalidProducerIDMapping, producerFenced:
		known = kafka.ErrFenced
	case invalidTxnState:
		known = kafka.ErrAborted
		if req == Produce {
			known = kafka.ErrFenced
		}
	default:
		return fmt.Errorf("mem: %s answered %d", req, c)
	}
	return fmt.Errorf("mem: %s answered %d: %w", req, c, known)
}
