//go:build linux

package cluster

import (
	"crypto/sha256"
	"encoding/base64"
	"testing"
)

// The example of RFC 7677.
const (
	rfcNonce  = "rOprNGfwEbeRWgbNEkqO"
	rfcServer = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
	rfcFinal  = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	rfcAnswer = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
)

func rfc(t *testing.T) *scram {
	t.Helper()
	s := &scram{hash: sha256.New}
	if err := s.Begin("user", "pencil", ""); err != nil {
		t.Fatal(err)
	}
	s.nonce = rfcNonce
	if got, err := s.Step(""); err != nil || got != "n,,n=user,r="+rfcNonce {
		t.Fatalf("first message %q, %v", got, err)
	}
	return s
}

func TestProvesThePasswordAsInTheRFC(t *testing.T) {
	t.Parallel()
	s := rfc(t)
	if got, err := s.Step(rfcServer); err != nil || got != rfcFinal {
		t.Fatalf("proof %q, %v; want %q", got, err, rfcFinal)
	}
	if s.Done() {
		t.Error("done before the server has proved that it knows the password")
	}
	if got, err := s.Step(rfcAnswer); err != nil || got != "" || !s.Done() {
		t.Errorf("end: %q, %v, done %v", got, err, s.Done())
	}
}

func TestRefusesAServerThatDoesNotKnowThePassword(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"v=" + base64.StdEncoding.EncodeToString(make([]byte, 32)), "v=", "", "e=other-error"} {
		s := rfc(t)
		if _, err := s.Step(rfcServer); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Step(answer); err == nil {
			t.Errorf("%q was taken", answer)
		}
	}
	for _, challenge := range []string{"", "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "r=" + rfcNonce + ",s=!,i=1", "r=" + rfcNonce + ",s=W22Z,i=x"} {
		if _, err := rfc(t).Step(challenge); err == nil {
			t.Errorf("%q was taken", challenge)
		}
	}
}
