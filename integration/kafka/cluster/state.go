//go:build linux

package cluster

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

const (
	loopback       = "127.0.0.1"
	stateFile      = "state.json"
	propertiesFile = "server.properties"
	logFile        = "log"
)

// state is what state.json holds. It is read by the program that wrote it; a cluster
// does not outlive a change of it.
type state struct {
	ClusterID string    `json:"cluster_id"`
	Jars      string    `json:"jars"`
	Nodes     []node    `json:"nodes"`
	Security  *security `json:"security,omitempty"`
}

// node is one broker, which is a controller too.
type node struct {
	ID         int `json:"id"`
	Port       int `json:"port"`
	Controller int `json:"controller_port"`
	PID        int `json:"pid"` // of its last process; 0: never started
}

func (n node) name() string { return "n" + strconv.Itoa(n.ID) }

func (n node) addr() string { return net.JoinHostPort(loopback, strconv.Itoa(n.Port)) }

func (c *Cluster) path(n node, name string) string { return filepath.Join(c.dir, n.name(), name) }

// node returns a node by its id.
func (c *Cluster) node(id int) (*node, error) {
	if id < 1 || id > len(c.state.Nodes) {
		return nil, fmt.Errorf("cluster: there is no node %d: ids are 1 to %d", id, len(c.state.Nodes))
	}
	return &c.state.Nodes[id-1], nil
}

func readState(dir string) (state, error) {
	var s state
	b, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return s, fmt.Errorf("cluster: looking for a cluster: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("cluster: reading %s: %w", filepath.Join(dir, stateFile), err)
	}
	return s, nil
}

// write replaces the state file in one step, so that whoever is interrupted leaves
// one that can be read.
func (s state) write(dir string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("cluster: writing its state: %w", err)
	}
	path := filepath.Join(dir, stateFile)
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return fmt.Errorf("cluster: writing its state: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("cluster: writing its state: %w", err)
	}
	return nil
}
