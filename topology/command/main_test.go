package command

import (
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestASignalThatComesTwiceAtOnceIsOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal, 2)
		var stopped []os.Signal
		ended := false
		go func() {
			watch(signals, func(s os.Signal) { stopped = append(stopped, s) })
			ended = true
		}()
		for _, step := range []struct {
			after time.Duration
			ends  bool
		}{{0, false}, {0, false}, {settle / 2, false}, {settle, true}} {
			<-time.After(step.after)
			signals <- syscall.SIGTERM
			synctest.Wait()
			if ended != step.ends || len(stopped) != 1 {
				t.Fatalf("after %v more: ended %v, stopped by %v", step.after, ended, stopped)
			}
		}
	})
}
