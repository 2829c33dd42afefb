package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/streamrun/streamrun/topology"
	"github.com/streamrun/streamrun/topology/config"
	"github.com/streamrun/streamrun/topology/internal/kafka/wire"
	"github.com/streamrun/streamrun/topology/runner"
)

func newTopics(topo *topology.Topology) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "topics",
		Short: "Say which topics and rights the app needs",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTopicsPlan(topo))
	return cmd
}

func newTopicsPlan(topo *topology.Topology) *cobra.Command {
	src := &source{topo: topo}
	var (
		at   place
		live bool
	)
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "List every topic, and the ACLs to ask a platform team for",
		Long: "Plan lists the topics that the app reads and writes, with partitions, cleanup policy, writers and readers,\n" +
			"and the ACLs that it needs. It asks no cluster, unless --live compares with what is there: exit 3 then\n" +
			"says that the app would not start. It never changes anything.",
		Args: cobra.NoArgs,
	}
	format := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		f, err := format()
		if err != nil {
			return err
		}
		topo, file, err := src.load()
		if err != nil {
			return err
		}
		planned := map[string]int32{}
		if file != nil {
			for _, t := range declared(file) {
				planned[t.Name] = t.Partitions
			}
		}
		p := topicsPlan{TopicsPlan: runner.PlanTopics(topo, planned)}
		if live {
			if p.Cluster, err = compare(cmd.Context(), topo, planned, file, &at); err != nil {
				return classify(err)
			}
		}
		write := p.text
		if f == "json" {
			write = p.json
		}
		if err := write(cmd.OutOrStdout()); err != nil {
			return err
		}
		if p.Cluster != nil && len(p.Cluster.Problems) > 0 {
			return exitError{exitNo, fmt.Errorf("the app would not start on this cluster: %d problems", len(p.Cluster.Problems)), "mend what the problems say, and ask again"}
		}
		return nil
	}
	src.flag(cmd)
	at.flags(cmd, src)
	cmd.Flags().BoolVar(&live, "live", false, "compare with the topics of the cluster")
	return cmd
}

// topicsPlan is what topics plan answers.
type topicsPlan struct {
	runner.TopicsPlan
	Cluster *comparison `json:"cluster,omitempty"`
}

// comparison is what a cluster has of a plan.
type comparison struct {
	Topics   []runner.TopicFinding `json:"topics"`
	Problems []string              `json:"problems"`
	Doubts   []string              `json:"doubts"`
}

// compare asks the cluster.
func compare(ctx context.Context, topo *topology.Topology, planned map[string]int32, f *config.File, at *place) (c *comparison, err error) {
	brokers, how, err := at.find(f)
	if err != nil {
		return nil, err
	}
	cluster, err := wire.New(wire.Options{Brokers: brokers, Security: how, ClientID: topo.App()})
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	findings, problems, doubts, err := runner.CompareTopics(ctx, topo, cluster, planned)
	if err != nil {
		return nil, err
	}
	return &comparison{Topics: findings, Problems: texts(problems), Doubts: texts(doubts)}, nil
}

func texts(errs []error) []string {
	all := make([]string, len(errs))
	for i, err := range errs {
		all[i] = strings.TrimPrefix(err.Error(), "runner: ")
	}
	return all
}

func (p *topicsPlan) json(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(p)
}

func (p *topicsPlan) text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	found := ""
	if p.Cluster != nil {
		found = "\tIN THE CLUSTER"
	}
	row(t, "TOPIC\tROLE\tPARTITIONS\tCLEANUP\tWRITTEN BY\tREAD BY\tCREATED BY%s", found)
	for i := range p.Topics {
		x := &p.Topics[i]
		creator := "you"
		if x.Created {
			creator = "the app"
		}
		if p.Cluster != nil {
			found = "\t" + finding(p.Cluster.Topics[i])
		}
		roles := make([]string, len(x.Roles))
		for j, r := range x.Roles {
			roles[j] = string(r)
		}
		row(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s%s", x.Name, strings.Join(roles, ", "), partitions(x), or(x.Cleanup, "any"),
			or(strings.Join(x.Writers, ", "), "others"), or(strings.Join(x.Readers, ", "), "others"), creator, found)
	}
	row(t, "\nRIGHT ON\tNAME\tOPERATIONS\tWHY")
	for _, a := range p.ACLs {
		name := a.Name
		if a.Prefixed {
			name += "* (prefixed)"
		}
		row(t, "%s\t%s\t%s\t%s", a.Resource, name, strings.Join(a.Operations, ", "), a.Why)
	}
	if p.Cluster != nil {
		for _, s := range p.Cluster.Problems {
			row(t, "\nproblem: %s", s)
		}
		for _, s := range p.Cluster.Doubts {
			row(t, "\nwarning: %s", s)
		}
	}
	return t.Flush()
}

// row writes a line; the writer keeps an error until Flush.
func row(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format+"\n", args...)
}

// partitions says how many partitions a topic has.
func partitions(t *runner.TopicPlan) string {
	switch {
	case t.Partitions > 0:
		return fmt.Sprint(t.Partitions)
	case t.Any:
		return "as " + t.Like + ", or any"
	case t.Like != "":
		return "as " + t.Like
	}
	return "your choice"
}

// finding says what the cluster has of a topic.
func finding(f runner.TopicFinding) string {
	if !f.Exists {
		return "missing"
	}
	return strings.TrimSuffix(fmt.Sprintf("%d partitions, %s", f.Partitions, f.Cleanup), ", ")
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
