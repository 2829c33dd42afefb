package wire

import (
	"context"
	"fmt"

	"github.com/IBM/sarama"
)

// Configs implements kafka.Admin.
func (a *admin) Configs(ctx context.Context, topics ...string) (map[string]map[string]string, error) {
	found := map[string]map[string]string{}
	if len(topics) == 0 {
		return found, nil
	}
	q := &sarama.DescribeConfigsRequest{Version: 2}
	for _, t := range topics {
		q.Resources = append(q.Resources, &sarama.ConfigResource{Type: sarama.TopicResource, Name: t})
	}
	var response *sarama.DescribeConfigsResponse
	err := a.route.anywhere(ctx, func(c *conn) (err error) {
		response, err = ask(ctx, c, (*sarama.Broker).DescribeConfigs, q)
		return err
	})
	if err == nil {
		err = configsFrom(response, found)
	}
	if err != nil {
		return nil, fmt.Errorf("kafka/wire: describing the configs of topics: %w", err)
	}
	return found, nil
}

// configsFrom takes the configs from an answer.
func configsFrom(response *sarama.DescribeConfigsResponse, found map[string]map[string]string) error {
	for _, r := range response.Resources {
		switch code := sarama.KError(r.ErrorCode); code {
		case sarama.ErrNoError:
		case sarama.ErrUnknownTopicOrPartition:
			continue
		default:
			return fmt.Errorf("topic %s: %w", r.Name, mapped(code))
		}
		configs := make(map[string]string, len(r.Configs))
		for _, e := range r.Configs {
			configs[e.Name] = e.Value
		}
		found[r.Name] = configs
	}
	return nil
}
