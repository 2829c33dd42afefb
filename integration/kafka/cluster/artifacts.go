//go:build linux

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
)

// What is taken from Maven Central. Without the binding a broker logs nothing at all.
const (
	kafkaVersion   = "4.3.1"
	bindingVersion = "2.25.4"
	copyPlugin     = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
	pom            = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>streamrun</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>` + kafkaVersion + `</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>` + bindingVersion + `</version></dependency>
  </dependencies>
</project>
`
)

// oldestJava is the first Java that Kafka 4 runs on.
const oldestJava = 17

// A MissingError is a program that the machine lacks.
type MissingError struct {
	Program string
	Found   string // what is wrong with the one that is there; empty: there is none
}

// Error says what to install.
func (e *MissingError) Error() string {
	found := "is not in the PATH"
	if e.Found != "" {
		found = e.Found
	}
	return fmt.Sprintf("cluster: %s %s; install Java %d or newer and Maven, on Debian and Ubuntu: apt-get install -y default-jre-headless maven", e.Program, found, oldestJava)
}

// artifacts returns the directory of Kafka's jars. It fills it if they are not there
// yet; of several processes that need them one does.
func artifacts(ctx context.Context, cache string, log io.Writer) (jars string, err error) {
	if err := checkJava(ctx); err != nil {
		return "", err
	}
	jars = filepath.Join(cache, "kafka-"+kafkaVersion+"-"+bindingVersion)
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", fmt.Errorf("cluster: making the cache: %w", err)
	}
	unlock, err := Lock(filepath.Join(cache, "jars.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(jars); err == nil {
		return jars, nil
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", &MissingError{Program: "mvn"}
	}
	work, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return "", fmt.Errorf("cluster: making a place for the jars: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), []byte(pom), 0o600); err != nil {
		return "", fmt.Errorf("cluster: writing the pom: %w", err)
	}
	fmt.Fprintf(log, "kafka: fetching Apache Kafka %s from Maven Central into %s\n", kafkaVersion, jars)
	got := filepath.Join(work, "jars")
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", copyPlugin, "-DincludeScope=runtime", "-DoutputDirectory="+got)
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cluster: fetching Kafka with %s: %w\n%s", mvn, err, out)
	}
	// Only a directory that is whole gets the name.
	if err := os.Rename(got, jars); err != nil {
		return "", fmt.Errorf("cluster: keeping the jars: %w", err)
	}
	return jars, nil
}

var javaVersion = regexp.MustCompile(`version "(\d+)`)

func checkJava(ctx context.Context) error {
	java, err := exec.LookPath("java")
	if err != nil {
		return &MissingError{Program: "java"}
	}
	out, err := exec.CommandContext(ctx, java, "-version").CombinedOutput()
	if err != nil {
		return &MissingError{Program: "java", Found: fmt.Sprintf("does not run (%v: %s)", err, bytes.TrimSpace(out))}
	}
	m := javaVersion.FindSubmatch(out)
	if m == nil {
		return &MissingError{Program: "java", Found: fmt.Sprintf("does not tell its version (%s)", bytes.TrimSpace(out))}
	}
	if v, _ := strconv.Atoi(string(m[1])); v < oldestJava {
		return &MissingError{Program: "java", Found: fmt.Sprintf("is version %d", v)}
	}
	return nil
}

// Lock waits for the file to be nobody else's, makes it this process', and returns
// the way back.
func Lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cluster: locking: %w", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cluster: locking %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // closing unlocks
}
