package badgerdb

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	kills = flag.Int("kills", 10, "how often the kill test kills")
	seed  = flag.Uint64("seed", 1, "of the moments at which it kills")
)

// childDir is set in the environment of the child that is killed.
const childDir = "STREAMRUN_TEST_BADGERDB"

// killed is the stream of the kill test: a flush takes several transactions, and
// some flushes fill one of Badger's memtables.
func killed() stream { return stream{pad: 20_000} }

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Fprintln(os.Stdout, child(dir))
		os.Exit(1)
	}
	flag.Parse()
	os.Exit(m.Run())
}

// child applies batches until it is killed. It says "applying N" before and "flushed
// N" when N batches are on disk, and "resting N" and "rested N" when its disk begins to
// rest and does.
func child(dir string) error {
	s := killed()
	ticks := make(chan time.Time)
	db, err := Open(dir, Options{MemoryBytes: 24 << 20, RestoreBytes: 12 << 20, Ticks: ticks})
	if err != nil {
		return err
	}
	if err := db.Refused(); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "open", s.from(db))
	for n := s.from(db); ; n++ {
		if n%100 == 50 {
			db.Live(nil)
		}
		fmt.Fprintln(os.Stdout, "applying", n)
		if err := s.apply(db, n); err != nil {
			return err
		}
		if n%20 == 0 {
			if err := db.Flush(); err != nil {
				return err
			}
			fmt.Fprintln(os.Stdout, "flushed", n+1)
		}
		if n%40 == 0 {
			fmt.Fprintln(os.Stdout, "resting", n+1)
			for range restAfter {
				ticks <- time.Now()
			}
			_, _ = db.Flush(), db.Flush() // comes behind the last tick
			fmt.Fprintln(os.Stdout, "rested", n+1)
		}
	}
}

// A process that is killed at any moment leaves a directory whose checkpoint is not
// ahead of its rows, and keeps all that Flush returned for.
func TestKill(t *testing.T) {
	// Not parallel: a child that is being started holds the files of the tests beside it,
	// and with them the lock that Badger gives back by closing.
	random := rand.New(rand.NewPCG(*seed, 0))
	dir := filepath.Join(t.TempDir(), "db")
	s := killed()
	applied, acknowledged, acks, ahead, early, closing := int64(0), int64(0), 0, 0, 0, 0
	var lag int64
	for kill := range *kills {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(out)
		// Every fourth kill falls into the opening, the others into the work.
		opening := kill%4 == 3
		if !opening {
			if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "open ") {
				t.Fatalf("seed %d, kill %d: the child said %q, %v", *seed, kill, line, err)
			}
		}
		timer := time.AfterFunc(time.Duration(random.IntN(150))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		resting := false
		for {
			line, err := in.ReadString('\n')
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			word, number, _ := strings.Cut(strings.TrimSpace(line), " ")
			n, err := strconv.ParseInt(number, 10, 64)
			switch {
			case err != nil:
				t.Fatalf("seed %d, kill %d: the child said %q", *seed, kill, line)
			case word == "open":
				opening = false
			case word == "applying":
				applied = max(applied, n+1)
			case word == "flushed":
				acknowledged = n
				acks++
			default:
				resting = word == "resting"
			}
		}
		timer.Stop()
		if opening {
			early++
		}
		if resting {
			closing++
		}
		if err := cmd.Wait(); err == nil {
			t.Fatalf("seed %d, kill %d: the child ended by itself", *seed, kill)
		}

		db := openTest(t, dir)
		if err := db.Refused(); err != nil {
			t.Fatalf("seed %d, kill %d: a kill made the directory useless: %v", *seed, kill, err)
		}
		from := s.from(db)
		lag = max(lag, applied-from)
		if from < acknowledged {
			t.Errorf("seed %d, kill %d: flushed up to %d, found up to %d", *seed, kill, acknowledged, from)
		}
		row, err := db.Get([]byte("s-all"))
		if err != nil {
			t.Fatal(err)
		}
		if n, _, _ := strings.Cut(string(row), " "); from > 0 && n != strconv.FormatInt(from-1, 10) {
			ahead++ // allowed; behind is found by check
		}
		if err := s.check(t, db, applied); err != nil {
			t.Fatalf("seed %d, kill %d: %v", *seed, kill, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d: %d kills (%d while it opened, %d while it went to rest), %d batches, %d flushes acknowledged and none lost, checkpoints ahead of rows 0, rows ahead of the checkpoint %d times, at most %d batches behind", *seed, *kills, early, closing, applied, acks, ahead, lag)
}
