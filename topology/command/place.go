package command

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/streamrun/streamrun/topology/config"
	"github.com/streamrun/streamrun/topology/security"
)

const (
	brokersVariable = "KAFKA_BROKERS" // names the cluster where neither a flag nor a file does
	defaultBroker   = "localhost:9092"
)

// place is where a verb finds the cluster.
type place struct {
	brokers   []string
	plaintext bool
}

// flags adds the flags that say so, for a topology from src.
func (p *place) flags(cmd *cobra.Command, src *source) {
	cmd.Flags().StringSliceVar(&p.brokers, "brokers", nil, "addresses of the cluster, host:port; default: "+src.said("$"+brokersVariable+", else "+defaultBroker))
	if src.topo != nil {
		return // there is no file whose tls and sasl could be left out
	}
	cmd.Flags().BoolVar(&p.plaintext, "plaintext", false, "leave out tls and sasl of the topology file, as for a broker on this machine")
}

// find returns the addresses and how to connect to them. f is nil without a file.
func (p *place) find(f *config.File) (brokers []string, how security.Security, err error) {
	if err := addresses("--brokers", p.brokers); err != nil {
		return nil, how, err
	}
	brokers = p.brokers
	if f != nil {
		if len(brokers) == 0 {
			brokers = f.Kafka.Brokers
		}
		if !p.plaintext {
			if err := f.CheckSecrets(); err != nil {
				return nil, how, exitError{exitMalformed, err, "set the variables, and put the files where the topology file says"}
			}
			how = f.Kafka.Security
		}
	}
	if v := os.Getenv(brokersVariable); len(brokers) == 0 && v != "" {
		brokers = strings.Split(v, ",")
		if err := addresses("$"+brokersVariable, brokers); err != nil {
			return nil, how, err
		}
	}
	if len(brokers) == 0 {
		brokers = []string{defaultBroker}
	}
	return brokers, how, nil
}

func addresses(from string, brokers []string) error {
	for _, b := range brokers {
		if !config.IsAddress(b) {
			return exitError{exitUsage, fmt.Errorf("%s: %q is not host:port", from, b), "write it as " + defaultBroker + "; several with commas"}
		}
	}
	return nil
}
