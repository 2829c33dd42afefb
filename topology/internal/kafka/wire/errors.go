package wire

import (
	"errors"
	"fmt"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/internal/kafka"
)

// words returns the broker's own words for a code, with the code, since sarama
// does not know the text of all of them.
func words(code sarama.KError) error {
	if code == sarama.ErrProducerFenced {
		return fmt.Errorf("there is a newer producer with the same transactional id (code %d)", int16(code))
	}
	return fmt.Errorf("%w (code %d)", code, int16(code))
}

// staleLeader reports the codes that say: ask for the leader again.
func staleLeader(code sarama.KError) bool {
	switch code {
	case sarama.ErrLeaderNotAvailable, sarama.ErrNotLeaderForPartition, sarama.ErrReplicaNotAvailable,
		sarama.ErrUnknownTopicOrPartition, sarama.ErrOffsetNotAvailable, sarama.ErrKafkaStorageError,
		sarama.ErrFencedLeaderEpoch, sarama.ErrUnknownLeaderEpoch:
		return true
	}
	return false
}

// staleCoordinator reports the codes that say: wait, and ask for the coordinator
// again.
func staleCoordinator(code sarama.KError) bool {
	switch code {
	case sarama.ErrOffsetsLoadInProgress, sarama.ErrConsumerCoordinatorNotAvailable, sarama.ErrNotCoordinatorForConsumer:
		return true
	}
	return false
}

// transient reports the codes of a transaction request that pass.
func transient(code sarama.KError) bool {
	return staleCoordinator(code) || code == sarama.ErrConcurrentTransactions
}

// mapped returns the error of the seam for a definite answer, in the broker's
// words.
func mapped(code sarama.KError) error {
	kind := error(nil)
	switch code {
	case sarama.ErrInvalidProducerEpoch, sarama.ErrProducerFenced, sarama.ErrInvalidProducerIDMapping, sarama.ErrUnknownProducerID:
		// The last two: the broker has forgotten the producer. Only Init helps, as
		// for a fenced one.
		kind = kafka.ErrFenced
	case sarama.ErrInvalidTxnState:
		kind = kafka.ErrAborted
	case sarama.ErrIllegalGeneration, sarama.ErrRebalanceInProgress:
		kind = kafka.ErrIllegalGeneration
	case sarama.ErrUnknownMemberId, sarama.ErrFencedInstancedId:
		kind = kafka.ErrUnknownMember
	case sarama.ErrOffsetOutOfRange:
		kind = kafka.ErrOffsetOutOfRange
	case sarama.ErrTopicAlreadyExists:
		kind = kafka.ErrTopicExists
	case sarama.ErrUnknownTopicOrPartition:
		kind = kafka.ErrUnknownTopic
	case sarama.ErrInvalidTransactionTimeout:
		kind = kafka.ErrTxnTimeout
	case sarama.ErrTopicAuthorizationFailed, sarama.ErrGroupAuthorizationFailed,
		sarama.ErrClusterAuthorizationFailed, sarama.ErrTransactionalIDAuthorizationFailed:
		kind = kafka.ErrNotAuthorized
	}
	switch {
	case kind == nil:
		return words(code)
	case errors.Is(kind, kafka.ErrNotAuthorized):
		return fmt.Errorf("%w: %w; %s", kind, words(code), grants(code))
	}
	return fmt.Errorf("%w: %w", kind, words(code))
}

// grants says what an app needs of what it was refused.
func grants(code sarama.KError) string {
	switch code {
	case sarama.ErrGroupAuthorizationFailed:
		return "the app's user needs Read on its group"
	case sarama.ErrTransactionalIDAuthorizationFailed:
		return "the app's user needs Write and Describe on its transactional ids"
	case sarama.ErrTopicAuthorizationFailed:
		return "the app's user needs Read and Describe on topics that it reads, Write and Describe on those that it writes, Create on those that do not exist yet"
	}
	return "the app's user needs Create on the cluster, or on the topics that do not exist yet"
}

// oversized reports the codes of a batch that is larger than its topic takes.
func oversized(code sarama.KError) bool {
	return code == sarama.ErrMessageSizeTooLarge || code == sarama.ErrMessageSetSizeTooLarge
}

// mappedWrite is mapped for the answer to a request that writes. A broker that failed
// in the middle of one (it says "unknown server error"), or waited for its replicas too
// long, does not know either what became of it.
func mappedWrite(code sarama.KError) error {
	if code == sarama.ErrUnknown || code == sarama.ErrRequestTimedOut {
		return fmt.Errorf("%w: %w", kafka.ErrIndefinite, words(code))
	}
	return mapped(code)
}

// mappedProduce is mappedWrite for the answer of a Produce, where a transaction that is
// not there means that the producer was fenced.
func mappedProduce(code sarama.KError) error {
	if code == sarama.ErrInvalidTxnState {
		return fmt.Errorf("%w: %w", kafka.ErrFenced, words(code))
	}
	return mappedWrite(code)
}

// final reports the errors after which a producer needs Init.
func final(err error) bool {
	return errors.Is(err, kafka.ErrFenced) || errors.Is(err, kafka.ErrIndefinite)
}
