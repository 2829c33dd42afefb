//go:build linux

package cluster

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

// real starts a cluster of the test's own, where tests on a real Kafka are wanted.
func real(t *testing.T, opts Options) *Cluster {
	t.Helper()
	if os.Getenv("KAFKA_BROKERS") == "" {
		t.Skip("no real Kafka is wanted: KAFKA_BROKERS is not set")
	}
	opts.Dir, opts.Log = filepath.Join(t.TempDir(), "kafka"), t.Output()
	c, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		running := c.Running()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		for id, pid := range running {
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("node %d, pid %d: %v after Close", id, pid, err)
			}
		}
		if _, err := os.Stat(c.dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the directory after Close: %v", err)
		}
	})
	return c
}

func TestNodesAreKilledPausedAndComeBack(t *testing.T) {
	c := real(t, Options{Nodes: 3})
	conf := sarama.NewConfig()
	conf.Net.ReadTimeout = time.Second // a paused node answers nothing
	client, err := sarama.NewClient(c.Brokers(), conf)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	known := func(want int) {
		t.Helper()
		eventually(t, func() bool {
			_ = client.RefreshMetadata()
			return len(client.Brokers()) == want
		})
	}
	known(3)
	old := c.Running()
	if len(old) != 3 {
		t.Fatalf("running: %v", old)
	}
	if err := c.Kill(2); err != nil {
		t.Fatal(err)
	}
	if now := c.Running(); len(now) != 2 || now[2] != 0 {
		t.Fatalf("running after the kill: %v", now)
	}
	known(2)
	if err := c.Kill(2); err != nil {
		t.Fatalf("killing it again: %v", err)
	}
	if err := c.Start(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	known(3)
	if err := c.Start(t.Context(), 2); err == nil {
		t.Fatal("a node was started that runs")
	}

	// Another process finds what this one started, the new pid of node 2 included.
	other, err := Open(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	if now := other.Running(); now[2] == old[2] || now[2] != c.Running()[2] || !slices.Equal(other.Brokers(), c.Brokers()) {
		t.Fatalf("found %v at %v, want %v at %v", now, other.Brokers(), c.Running(), c.Brokers())
	}

	if err := other.Pause(3); err != nil {
		t.Fatal(err)
	}
	known(2) // it does not end, and does not answer
	if now := c.Running(); len(now) != 3 {
		t.Fatalf("running while one is paused: %v", now)
	}
	if err := other.Resume(3); err != nil {
		t.Fatal(err)
	}
	known(3)
	// Close ends a paused node too.
	if err := c.Pause(3); err != nil {
		t.Fatal(err)
	}
}

func TestSecuredClusterKnowsItsUsersAndTheirRights(t *testing.T) {
	c := real(t, Options{Secure: true})
	connect := func(who Credentials) (sarama.Client, error) {
		conf, err := ClientConfig(who)
		if err != nil {
			t.Fatal(err)
		}
		conf.Producer.Return.Successes = true
		client, err := sarama.NewClient(c.Brokers(), conf)
		if err == nil {
			t.Cleanup(func() { client.Close() })
		}
		return client, err
	}
	admin, err := connect(c.Admin())
	if err != nil {
		t.Fatal(err)
	}
	manage, err := sarama.NewClusterAdminFromClient(admin)
	if err != nil {
		t.Fatal(err)
	}
	if err := manage.CreateTopic("secret", &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: -1}, false); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { // created is not yet known
		_, err := admin.Leader("secret", 0)
		return err == nil
	})
	produce := func(client sarama.Client) error {
		p, err := sarama.NewSyncProducerFromClient(client)
		if err != nil {
			return err
		}
		defer p.Close()
		_, _, err = p.SendMessage(&sarama.ProducerMessage{Topic: "secret", Value: sarama.StringEncoder("x")})
		return err
	}
	if err := produce(admin); err != nil {
		t.Errorf("the super user: %v", err)
	}
	user, err := connect(c.User())
	if err != nil {
		t.Fatalf("the user without rights cannot log in: %v", err)
	}
	if err := produce(user); !errors.Is(err, sarama.ErrTopicAuthorizationFailed) {
		t.Errorf("the user without rights: %v", err)
	}
	wrong := c.Admin()
	wrong.Password += "x"
	if _, err := connect(wrong); err == nil || !strings.Contains(err.Error(), "invalid credentials") {
		t.Errorf("a wrong password: %v", err)
	}
	if _, err := connect(Credentials{}); err == nil {
		t.Error("a client without TLS was let in")
	}
}

func TestSignalsOnlyItsOwnProcesses(t *testing.T) {
	t.Parallel()
	// A process of another command line that has got the pid of a node.
	stranger := exec.CommandContext(t.Context(), "sleep", "600")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = stranger.Wait()
	}()
	dir := t.TempDir()
	s := state{Nodes: []node{{ID: 1, Port: 20001, PID: stranger.Process.Pid}, {ID: 2, Port: 20003}}}
	if err := s.write(dir); err != nil {
		t.Fatal(err)
	}
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if n := c.Running(); len(n) != 0 {
		t.Errorf("running: %v", n)
	}
	if err := errors.Join(c.Kill(1), c.Stop(1), c.Pause(2), c.Close()); err != nil {
		t.Error(err)
	}
	if err := c.Kill(3); err == nil {
		t.Error("a node that there is not was killed")
	}
	if err := syscall.Kill(stranger.Process.Pid, 0); err != nil {
		t.Errorf("the stranger: %v", err)
	}
	select {
	case <-ended:
		t.Error("the stranger was ended")
	default:
	}
	if err := stranger.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
}

// fakes puts programs into the PATH instead of those of the machine.
func fakes(t *testing.T, programs map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
}

func TestSaysWhatIsMissing(t *testing.T) {
	java := func(version string) string { return "echo 'openjdk version \"" + version + "\"' >&2\n" }
	for name, c := range map[string]struct {
		programs      map[string]string
		program, says string
	}{
		"no java":     {nil, "java", "java is not in the PATH; install Java 17"},
		"java of old": {map[string]string{"java": java("1.8.0_412")}, "java", "is version 1"},
		"java 11":     {map[string]string{"java": java("11.0.2")}, "java", "is version 11"},
		"broken java": {map[string]string{"java": "echo no >&2; exit 3"}, "java", "does not run"},
		"no maven":    {map[string]string{"java": java("21.0.1")}, "mvn", "apt-get install -y default-jre-headless maven"},
	} {
		t.Run(name, func(t *testing.T) {
			fakes(t, c.programs)
			dir := filepath.Join(t.TempDir(), "kafka")
			_, err := Start(t.Context(), Options{Dir: dir, Cache: t.TempDir()})
			var missing *MissingError
			if !errors.As(err, &missing) || missing.Program != c.program || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got: %v", err)
			}
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it made its directory: %v", err)
			}
		})
	}
}

func TestFailsWithTheLogAndLeavesNothing(t *testing.T) {
	for name, c := range map[string]struct{ java, mvn, says string }{
		"fetching":   {"", "echo no route >&2; exit 1", "no route"},
		"formatting": {`case "$*" in *StorageTool*) echo bad format; exit 1;; esac`, "", "bad format"},
		"starting":   {`case "$*" in *kafka.Kafka*) echo port taken; exit 1;; esac`, "", "port taken"},
	} {
		t.Run(name, func(t *testing.T) {
			fakes(t, map[string]string{
				"java": "echo 'version \"17\"'\n" + c.java,
				"mvn":  cmp(c.mvn, `for a in "$@"; do case $a in -DoutputDirectory=*) /bin/mkdir "${a#*=}";; esac; done`),
			})
			dir := filepath.Join(t.TempDir(), "kafka")
			_, err := Start(t.Context(), Options{Nodes: 3, Dir: dir, Cache: t.TempDir()})
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got: %v", err)
			}
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("its directory is left: %v", err)
			}
		})
	}
}

func cmp(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func TestRefusesADirectoryWithSomethingInIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("got: %v", err)
	}
	if _, err := Start(t.Context(), Options{Dir: filepath.Join(dir, "x"), Nodes: 2}); err == nil || !strings.Contains(err.Error(), "2 nodes") {
		t.Errorf("two nodes: %v", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
	if _, err := Open(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open: %v", err)
	}
}

func TestPortsAreFreeAndBelowOutgoingOnes(t *testing.T) {
	t.Parallel()
	ports, err := freePorts(t.Context(), 6)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(ports)
	if len(slices.Compact(slices.Clone(ports))) != 6 || ports[0] < 1024 || ports[5] >= 32768 {
		t.Errorf("ports %v", ports)
	}

	// One that is taken is passed over. Any other process may take one that is free.
	for offset := range 12000 {
		free, err := freePortsFrom(t.Context(), offset, 1)
		if err != nil {
			t.Fatal(err)
		}
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(loopback, strconv.Itoa(free[0])))
		if err != nil {
			continue
		}
		defer l.Close()
		ports, err := freePortsFrom(t.Context(), offset, 6)
		if err != nil || slices.Contains(ports, free[0]) {
			t.Errorf("port %d is taken, and the ports are %v, %v", free[0], ports, err)
		}
		return
	}
	t.Fatal("no port could be taken")
}

// eventually waits until a condition holds.
func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("still not, after a minute")
		}
	}
}
