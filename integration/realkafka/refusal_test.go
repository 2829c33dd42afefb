//go:build linux

package realkafka

import (
	"bytes"
	crypto "crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

// Exit codes of streamrun.
const (
	refusedCode     = 5
	unreachableCode = 6
)

// refusalTime bounds how long the app may take to say why it does not go on.
const refusalTime = time.Minute

// A stand is an app of its own on the cluster, with an input of one partition.
type stand struct {
	*cluster
	program string
	name    string
	user    user
	kafka   string // more of the kafka section
	brokers string
	input   string // more of the input
	fed     int64  // events
	last    int    // sequence of the last one
}

func newStand(t *testing.T, program string) *stand {
	c := real(t)
	return &stand{cluster: c, program: program, name: "bad-" + strings.ToLower(crypto.Text()), user: owner(), brokers: strings.Join(c.brokers, ",")}
}

// topic returns the name of one of the app's topics.
func (s *stand) topic(suffix string) string { return s.name + "-" + suffix }

// feed writes the next event.
func (s *stand) feed(text string, at time.Time) {
	s.t.Helper()
	producer, err := sarama.NewSyncProducerFromClient(s.client)
	if err != nil {
		s.t.Fatal(err)
	}
	defer producer.Close()
	s.fed++
	s.last++
	if _, _, err := producer.SendMessage(&sarama.ProducerMessage{
		Topic: s.topic("in"), Timestamp: at, Key: sarama.StringEncoder("k"),
		Value: sarama.StringEncoder(fmt.Sprintf(`{"k": "k", "s": %d, "text": %q}`, s.last, text)),
	}); err != nil {
		s.t.Fatal(err)
	}
}

// start starts the app.
func (s *stand) start() *app {
	s.t.Helper()
	a := &app{t: s.t, program: s.program, args: []string{"run", "--http", "", "--brokers", s.brokers, "-c", write(s.t, fmt.Sprintf(`version: 1
name: %[1]s
contract: {events_for: k, because: they are numbered}
kafka:
  commit_interval: 50ms
%[2]s%[3]sinputs: {in: {topic: %[1]s-in, key: event.k, sequence: event.s%[4]s}}
steps:
  - {name: o, from: in, in_order: true}
  - {name: st, from: o, state: {update: '{"seen": event.s, "text": event.text}'}}
outputs: {out: {from: st, kind: table, topic: %[1]s-out}}
dlq: {topic: %[1]s-dlq}
`, s.name, s.kafka, security(s.user), s.input))}}
	a.start()
	return a
}

// committed returns the app's committed offset; -1: there is none.
func (s *stand) committed() int64 {
	got, err := s.admin.ListConsumerGroupOffsets(s.name, map[string][]int32{s.topic("in"): {0}})
	if err != nil || got.GetBlock(s.topic("in"), 0) == nil {
		return -1
	}
	return got.GetBlock(s.topic("in"), 0).Offset
}

// refused waits until an app has ended by itself, and judges what it said.
func (s *stand) refused(a *app, code int, says ...string) {
	s.t.Helper()
	began := time.Now()
	select {
	case <-a.ended:
	case <-time.After(refusalTime):
		s.t.Fatalf("it goes on after %v\n%s", refusalTime, a.said.String())
	}
	said := a.said.String()
	var exit *exec.ExitError
	if !errors.As(a.result, &exit) || exit.ExitCode() != code {
		s.t.Fatalf("it ended with %v, want exit code %d\n%s", a.result, code, said)
	}
	for _, text := range append(says, "\nnext: ") {
		if !strings.Contains(said, text) {
			s.t.Errorf("it does not say %q\n%s", text, said)
		}
	}
	lines := strings.Split(strings.TrimSpace(said), "\n")
	s.t.Logf("after %v: %s", time.Since(began).Round(10*time.Millisecond), strings.Join(lines[max(0, len(lines)-2):], "\n"))
}

// nothingLost runs the app as it is meant until everything fed is committed, and the
// table has the last state.
func (s *stand) nothingLost() {
	s.t.Helper()
	a := s.start()
	s.eventually("all is committed", func() bool { a.alive(); return s.committed() == s.fed })
	a.stop()
	table := s.read(s.topic("out"))
	want := fmt.Sprintf(`"seen":%d,`, s.last)
	if len(table) == 0 || !bytes.Contains(table[len(table)-1].Value, []byte(want)) {
		s.t.Errorf("the table has %d updates, the last without %s", len(table), want)
	}
}

// set changes a config of a topic.
func (s *stand) set(topic, name, value string) {
	s.t.Helper()
	if err := s.admin.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
		name: {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value},
	}, false); err != nil {
		s.t.Fatal(err)
	}
}

// What a broker does not take ends the app with one clear error, the events before it
// stay committed, and once the topic takes it the app goes on where it was.
func TestRefusesWhatTheBrokerDoesNotTake(t *testing.T) {
	real(t)
	program := streamrun(t)
	const forEver = "9223372036854775807"
	large := strings.Repeat("x", 5000)
	nextYear := time.Now().AddDate(1, 0, 0)
	for name, test := range map[string]struct {
		topic   string
		configs []string
		text    string
		at      time.Time
		says    []string
		mend    [2]string
	}{
		"an output that is too large (10)": {
			topic: "out", configs: []string{"cleanup.policy", "compact", "max.message.bytes", "1000"}, text: large, at: time.Now(),
			says: []string{`table "st.table", key "k": `, "-out-0: a record of 50", "(code 10)", "raise max.message.bytes of the topic, which is 1000"},
			mend: [2]string{"max.message.bytes", "100000"},
		},
		"a row that is too large (10)": {
			topic: "st-changelog", configs: []string{"cleanup.policy", "compact", "max.message.bytes", "1000"}, text: large, at: time.Now(),
			says: []string{`store "st", key "k": `, "-st-changelog-0: a record of 50", "(code 10)", "raise max.message.bytes of the topic, which is 1000"},
			mend: [2]string{"max.message.bytes", "100000"},
		},
		"an output of the future (32)": {
			topic: "out", configs: []string{"cleanup.policy", "compact", "message.timestamp.after.max.ms", "3600000"}, at: nextYear,
			says: []string{`table "st.table", key "k": `, "-out-0: a record of 20", "(code 32)", "set message.timestamp.after.max.ms of the topic (it is 3600000)"},
			mend: [2]string{"message.timestamp.after.max.ms", forEver},
		},
		"a row of the future (32)": {
			topic: "st-changelog", configs: []string{"cleanup.policy", "compact", "message.timestamp.after.max.ms", "3600000"}, at: nextYear,
			says: []string{`store "st", key "k": `, "-st-changelog-0: a record of 20", "(code 32)", "set message.timestamp.after.max.ms of the topic (it is 3600000)"},
			mend: [2]string{"message.timestamp.after.max.ms", forEver},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t, program)
			for _, topic := range []string{"in", "out", "st-changelog"} {
				switch {
				case topic == test.topic:
					s.create(s.topic(topic), 1, test.configs...)
				case topic == "in":
					s.create(s.topic(topic), 1, "message.timestamp.after.max.ms", forEver)
				default:
					s.create(s.topic(topic), 1, "cleanup.policy", "compact", "message.timestamp.after.max.ms", forEver)
				}
			}
			s.feed("good", time.Now())
			a := s.start()
			s.eventually("the good event is committed", func() bool { a.alive(); return s.committed() == 1 })
			s.feed(test.text, test.at)
			s.refused(a, refusedCode, test.says...)
			if at := s.committed(); at != 1 {
				t.Errorf("committed is %d, want 1", at)
			}
			s.set(s.topic(test.topic), test.mend[0], test.mend[1])
			s.nothingLost()
		})
	}
}

// An app that cannot start, or go on, says why, and loses nothing.
func TestRefusesToGoOn(t *testing.T) {
	real(t)
	program := streamrun(t)
	for name, run := range map[string]func(s *stand){
		"nobody there": func(s *stand) {
			here := s.brokers
			s.brokers = "127.0.0.1:1"
			s.create(s.topic("in"), 1)
			s.refused(s.start(), unreachableCode, "127.0.0.1:1", "connection refused")
			s.brokers = here
		},
		"missing topic": func(s *stand) {
			s.refused(s.start(), refusedCode, "source topic "+s.topic("in")+" does not exist; create it")
			s.create(s.topic("in"), 1)
		},
		"changed partition count": func(s *stand) {
			s.create(s.topic("in"), 1)
			s.feed("x", time.Now())
			s.nothingLost()
			if err := s.admin.CreatePartitions(s.topic("in"), 2, nil, false); err != nil {
				s.t.Fatal(err)
			}
			s.eventually("there are two partitions", func() bool {
				_ = s.client.RefreshMetadata(s.topic("in"))
				all, err := s.client.Partitions(s.topic("in"))
				return err == nil && len(all) == 2
			})
			s.refused(s.start(), refusedCode, s.topic("st-changelog")+" has 1 partitions, but "+s.topic("in")+" has 2", "rebuild the app under the new count")
			s.fed = -1 // there is no way back
		},
		"a transaction timeout that is too long": func(s *stand) {
			s.create(s.topic("in"), 1)
			s.kafka = "  transaction_timeout: 20m\n"
			s.refused(s.start(), refusedCode, "streamrun.yaml:6:3: kafka.transaction_timeout: ", "(code 50): it is 20m0s", "transaction.max.timeout.ms of the brokers, which is 900000")
			s.kafka = ""
		},
		"an undecodable batch": undecodable,
		"an undecodable batch is to be skipped": func(s *stand) {
			s.create(s.topic("in"), 1)
			s.feed("good", time.Now())
			s.last--
			s.feed("to be damaged", time.Now()) // a copy, so that no event is missed
			s.feed("behind", time.Now())
			s.damage("to be damaged")
			s.input = ", undecodable_batch: skip"
			s.nothingLost()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t, program)
			run(s)
			if s.fed < 0 {
				return
			}
			s.feed("x", time.Now())
			s.nothingLost()
		})
	}
}

// undecodable damages a batch where the leader keeps it, and repairs it.
func undecodable(s *stand) {
	s.create(s.topic("in"), 1)
	s.feed("good", time.Now())
	s.feed("to be damaged", time.Now())
	s.feed("behind", time.Now())
	flip := s.damage("to be damaged")
	at := s.topic("in") + "-0@1"
	s.refused(s.start(), refusedCode, "runner: kafka: "+at, "batch cannot be decoded", "undecodable_batch: skip")
	if got := s.committed(); got > 1 { // whether the event before it was committed is a matter of time
		s.t.Errorf("committed is %d, behind the batch", got)
	}
	flip()
}

// damage flips a bit of a text in the log of the input, or skips the test where the
// leader keeps it on another machine; flip flips it back.
func (s *stand) damage(text string) (flip func()) {
	s.t.Helper()
	leader, err := s.client.Leader(s.topic("in"), 0)
	if err != nil {
		s.t.Fatal(err)
	}
	dirs, err := s.admin.DescribeLogDirs([]int32{leader.ID()})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, dir := range dirs[leader.ID()] {
		path := filepath.Join(dir.Path, s.topic("in")+"-0", fmt.Sprintf("%020d.log", 0))
		log, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		at := bytes.Index(log, []byte(text))
		if at < 0 {
			s.t.Fatalf("%s does not hold %q", path, text)
		}
		bit := log[at]
		flip = func() {
			bit ^= 1
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt([]byte{bit}, int64(at))
				err = errors.Join(err, f.Close())
			}
			if err != nil {
				s.t.Fatal(err)
			}
		}
		flip()
		return flip
	}
	s.t.Skip("the log of the leader is not on this machine")
	return nil
}

// Without a right that it needs, or with a wrong password, the app says so; with it, it
// goes on where it was.
func TestSaysWhichRightIsMissing(t *testing.T) {
	real(t)
	if powerless().name == "" {
		t.Skip("the cluster does not ask who connects; SEC=1 of integration/kafka/up starts one that does")
	}
	program := streamrun(t)
	for name, test := range map[string]struct {
		without sarama.AclResourceType
		deny    string // a topic
		of      sarama.AclOperation
		says    []string
	}{
		"to see the input":       {deny: "in", of: sarama.AclOperationDescribe, says: []string{"-in", "Read and Describe on topics"}},
		"to read the input":      {deny: "in", of: sarama.AclOperationRead, says: []string{"-in-0", "Read and Describe on topics"}},
		"to write the output":    {deny: "out", of: sarama.AclOperationWrite, says: []string{"-out-0", "Write and Describe on those"}},
		"to write the changelog": {deny: "st-changelog", of: sarama.AclOperationWrite, says: []string{"-st-changelog-0", "Write and Describe on those"}},
		"to read the changelog":  {deny: "st-changelog", of: sarama.AclOperationRead, says: []string{"-st-changelog-0", "Read and Describe on topics"}},
		"of the group":           {without: sarama.AclResourceGroup, says: []string{"Read on its group"}},
		"of the producer":        {without: sarama.AclResourceTransactionalID, says: []string{"Write and Describe on its transactional ids"}},
		"to create topics":       {deny: "o-order", of: sarama.AclOperationCreate, says: []string{"-o-order", "Create on"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t, program)
			s.create(s.topic("in"), 1)
			s.feed("x", time.Now())
			if test.deny == "st-changelog" {
				s.nothingLost() // a changelog without records is not read
				s.feed("x", time.Now())
			}
			before := s.committed()
			for _, kind := range []sarama.AclResourceType{sarama.AclResourceTopic, sarama.AclResourceGroup, sarama.AclResourceTransactionalID} {
				if kind != test.without {
					s.grant(kind, s.name, sarama.AclPatternPrefixed, sarama.AclOperationAll, sarama.AclPermissionAllow)
				}
			}
			if test.deny != "" {
				s.grant(sarama.AclResourceTopic, s.topic(test.deny), sarama.AclPatternLiteral, test.of, sarama.AclPermissionDeny)
			}
			s.user = powerless()
			s.refused(s.start(), refusedCode, test.says...)
			if at := s.committed(); at != before {
				t.Errorf("committed is %d, want %d", at, before)
			}
			s.user = owner()
			s.nothingLost()
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		t.Parallel()
		s := newStand(t, program)
		s.create(s.topic("in"), 1)
		s.feed("x", time.Now())
		wrong := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(wrong, []byte("not-the-password"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.user.password = fmt.Sprintf("{file: %q}", wrong)
		a := s.start()
		s.refused(a, refusedCode, s.cluster.brokers[0], fmt.Sprintf("%q", s.user.name), "see that user, secret and mechanism are right")
		if strings.Contains(a.said.String(), "not-the-password") {
			t.Error("it tells the secret")
		}
		s.user = owner()
		s.nothingLost()
	})
}

// grant adds an ACL of the user without rights.
func (s *stand) grant(kind sarama.AclResourceType, name string, pattern sarama.AclResourcePatternType, of sarama.AclOperation, permission sarama.AclPermissionType) {
	s.t.Helper()
	if err := s.admin.CreateACLs([]*sarama.ResourceAcls{{
		Resource: sarama.Resource{ResourceType: kind, ResourceName: name, ResourcePatternType: pattern},
		Acls:     []*sarama.Acl{{Principal: "User:" + powerless().name, Host: "*", Operation: of, PermissionType: permission}},
	}}); err != nil {
		s.t.Fatal(err)
	}
}
