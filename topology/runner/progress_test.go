package runner

import (
	"bytes"
	"log/slog"
	"regexp"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamrun/streamrun/topology/internal/kafka/mem"
)

func TestTheRestOfARestoreTakesAsLongAsWhatWasRead(t *testing.T) {
	t.Parallel()
	began := time.UnixMilli(0)
	for _, c := range []struct {
		first, next, end int64
		after, want      time.Duration
		known            bool
	}{
		{0, 0, 100, time.Minute, 0, false},
		{0, 25, 100, time.Minute, 3 * time.Minute, true},
		{1000, 1025, 1100, time.Minute, 3 * time.Minute, true}, // what a checkpoint had is no work
		{0, 2, 3, 0, 0, true},
	} {
		l := changelog{first: c.first, next: c.next, end: c.end, began: began}
		if got, known := l.eta(began.Add(c.after)); got != c.want || known != c.known {
			t.Errorf("%+v: %v, %v", c, got, known)
		}
	}
}

// lines is a log that several goroutines write to.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) find(pattern string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return regexp.MustCompile(pattern).FindAllString(l.b.String(), -1)
}

func TestARestoreSaysHowFarItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, 1, mem.Options{})
		x.feed(20, 3)
		p := x.start(Config{Instance: "a"}, nil)
		x.drained()
		p.stop()
		stranger := x.stranger()
		log := &lines{}
		p = x.start(Config{Instance: "a", Logger: slog.New(slog.NewTextHandler(log, nil))}, nil)
		<-time.After(25 * time.Second)
		said := log.find(`msg=restoring .*task=\S+ topic=app-states-changelog partition=0 records=[1-9]\d* bytes=[1-9]\d* left=1 eta=\S+`)
		if len(said) != 2 {
			t.Errorf("in 25 s it said %q in\n%s", said, log.b.String())
		}
		x.must(stranger.End(x.ctx, false))
		x.drained()
		p.stop()
	})
}
