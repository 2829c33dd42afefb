package wire

import (
	"errors"
	"testing"

	"github.com/IBM/sarama"

	"github.com/streamrun/streamrun/topology/internal/kafka"
)

func TestConfigsThatMayNotBeSeenAreNotAuthorized(t *testing.T) {
	t.Parallel()
	found := map[string]map[string]string{}
	err := configsFrom(&sarama.DescribeConfigsResponse{Resources: []*sarama.ResourceResponse{
		{Name: "a", Configs: []*sarama.ConfigEntry{{Name: "cleanup.policy", Value: "delete"}}},
		{Name: "b", ErrorCode: int16(sarama.ErrTopicAuthorizationFailed)},
	}}, found)
	if !errors.Is(err, kafka.ErrNotAuthorized) {
		t.Errorf("got %v", err)
	}
}
