package command

import (
	"slices"
	"strings"
	"testing"

	"github.com/streamrun/streamrun/topology/config"
)

// A flag goes before the file, the file before the variable.
func TestWhatNamesTheCluster(t *testing.T) {
	file := &config.File{Kafka: config.Kafka{Brokers: []string{"file:1"}}}
	for _, c := range []struct {
		flag     []string
		file     *config.File
		variable string
		want     string // addresses with commas, or part of an error
	}{
		{nil, nil, "", "localhost:9092"},
		{nil, &config.File{}, "", "localhost:9092"},
		{nil, &config.File{}, "variable:1,variable:2", "variable:1,variable:2"},
		{nil, nil, "variable:1", "variable:1"},
		{nil, file, "variable:1", "file:1"},
		{[]string{"flag:1", "flag:2"}, file, "variable:1", "flag:1,flag:2"},
		{[]string{"flag:1"}, nil, "not an address", "flag:1"},
		{nil, nil, "not an address", `$KAFKA_BROKERS: "not an address" is not host:port`},
		{[]string{"flag"}, nil, "", `--brokers: "flag" is not host:port`},
	} {
		t.Setenv("KAFKA_BROKERS", c.variable)
		got, _, err := (&place{brokers: c.flag}).find(c.file)
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		if want := strings.Split(c.want, ","); !slices.Equal(got, want) {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
