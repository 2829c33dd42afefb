package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/streamrun/streamrun/topology/config"
)

// withKafka is a small file with a kafka section.
func withKafka(section string) string {
	return strings.Replace(small, "UPDATE", "event", 1) + "kafka:\n" + section
}

// Parse does not look for what the file keeps elsewhere; CheckSecrets does, and says
// where in the file it is named.
func TestCheckSecretsLooksForWhatIsKeptElsewhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("swordfish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	section := "  tls: {ca: " + filepath.Join(dir, "ca.pem") + "}\n" +
		"  sasl:\n    mechanism: plain\n    user: u\n    password: {env: KAFKA_PASSWORD}\n"
	f := parse(t, withKafka(section), noEnv)
	err := f.CheckSecrets()
	var all *config.Error
	if !errors.As(err, &all) || len(all.Problems) != 2 {
		t.Fatal(err)
	}
	for i, want := range []string{
		"11:13: kafka.tls.ca: security: reading the certificates to trust: open ",
		"15:5: kafka.sasl.password: security: environment variable KAFKA_PASSWORD is not set [SR1002]",
	} {
		if got := all.Problems[i].String(); !strings.HasPrefix(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if err := parse(t, withKafka("  sasl: {mechanism: oauthbearer, insecure: true, token: {file: "+password+"}}\n"), noEnv).CheckSecrets(); err != nil {
		t.Error(err)
	}
	if err := parse(t, withKafka("  sasl: {mechanism: plain, insecure: true, user: u, password: {env: P}}\n"), envOf("P", "x")).CheckSecrets(); err != nil {
		t.Error(err)
	}
}

// The line of a problem is shown, but not a secret that stands in it.
func TestProblemsDoNotShowASecret(t *testing.T) {
	t.Parallel()
	for _, section := range []string{
		"  sasl: {mechanism: plain, user: u, password: swordfish}\n",
		"  sasl: {pasword: swordfish}\n",
		"  sasl:\n    token: \"swordfish\"\n",
		"  sasl:\n    password: |\n      swordfish\n",
	} {
		_, err := config.Parse("f.yaml", []byte(withKafka(section)), noEnv)
		var all *config.Error
		if !errors.As(err, &all) {
			t.Fatalf("%s: %v", section, err)
		}
		if text := all.Text() + err.Error(); strings.Contains(text, "swordfish") {
			t.Errorf("%s", text)
		}
	}
}
