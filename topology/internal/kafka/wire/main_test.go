package wire

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/streamrun/streamrun/topology/embedded"
)

// asBroker makes the test binary a broker, for benchmarks that must not measure it.
const asBroker = "STREAMRUN_TEST_BROKER"

func TestMain(m *testing.M) {
	if os.Getenv(asBroker) != "" {
		os.Exit(serve())
	}
	goleak.VerifyTestMain(m,
		// sarama's metrics library keeps one goroutine for all meters of a process.
		goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

// serve runs a broker until standard input ends.
func serve() int {
	b, err := embedded.Start(embedded.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer b.Close()
	fmt.Fprintln(os.Stdout, b.Addrs()[0])
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// brokerProcess starts a broker in a process of its own and returns its address.
func brokerProcess(b *testing.B) string {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), asBroker+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	must(b, err)
	stdout, err := cmd.StdoutPipe()
	must(b, err)
	must(b, cmd.Start())
	b.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	must(b, err)
	return strings.TrimSpace(line)
}
