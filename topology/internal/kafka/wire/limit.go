package wire

import (
	"context"
	"strconv"
	"time"

	"github.com/IBM/sarama"
)

// limitTimeout bounds a question that only makes an error clearer.
const limitTimeout = 2 * time.Second

// notShown stands for a limit that the user may not see, or that nobody told in time.
const notShown = "not shown to this user"

// limitOf returns a limit of a topic, for an error.
func (p *producer) limitOf(topic, config string) string {
	ctx, cancel := context.WithTimeout(context.Background(), limitTimeout)
	defer cancel()
	configs, err := (&admin{route: p.route}).Configs(ctx, topic)
	if limit := configs[topic][config]; err == nil && limit != "" {
		return limit
	}
	return notShown
}

// limitOfBroker returns a limit of the broker at an address, for an error. Only that
// broker knows it.
func (p *producer) limitOfBroker(addr, config string) string {
	ctx, cancel := context.WithTimeout(context.Background(), limitTimeout)
	defer cancel()
	if p.route.refresh(ctx, nil) != nil {
		return notShown
	}
	c, err := p.route.connect(ctx, addr)
	if err != nil {
		return notShown
	}
	name := strconv.Itoa(int(p.route.brokerAt(addr)))
	response, err := ask(ctx, c, (*sarama.Broker).DescribeConfigs, &sarama.DescribeConfigsRequest{
		Version:   2,
		Resources: []*sarama.ConfigResource{{Type: sarama.BrokerResource, Name: name, ConfigNames: []string{config}}},
	})
	found := map[string]map[string]string{}
	if err == nil {
		err = configsFrom(response, found)
	}
	if limit := found[name][config]; err == nil && limit != "" {
		return limit
	}
	return notShown
}
