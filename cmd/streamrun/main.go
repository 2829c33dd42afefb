// Command streamrun runs stream processing apps on Kafka, in order for each entity,
// from a topology file alone; see the package topology/command for its verbs.
package main

import (
	"os"

	"github.com/streamrun/streamrun/topology/command"
)

func main() { os.Exit(command.Main(nil)) }
