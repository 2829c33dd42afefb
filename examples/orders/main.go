// Command orders is an app in Go: it keeps the total of each order, in order.
//
//	go run ./examples/orders describe
//	go run ./examples/orders run --brokers localhost:9092
package main

import (
	"fmt"
	"os"

	"github.com/streamrun/streamrun/topology/command"
)

func main() {
	topo, err := Build()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(78)
	}
	os.Exit(command.Main(topo))
}
