package protocol

import (
	"encoding/base64"
	"testing"
)

func TestSection1_3_OpeningHandshake(t *testing.T) {
	if got := AcceptKey([]byte("dGhlIHNhbXBsZSBub25jZQ==")); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("AcceptKey = %q", got)
	}
}

func TestSection4_1_KeyOfTheClient(t *testing.T) {
	for key, want := range map[string]bool{
		"dGhlIHNhbXBsZSBub25jZQ==":      true,
		"AAAAAAAAAAAAAAAAAAAAAA==":      true,
		"":                              false,
		"dGhlIHNhbXBsZSBub25jZQ":        false, // no padding
		"dGhlIHNhbXBsZSBub25jZR==":      false, // bits behind the end
		"dGhlIHNhbXBsZSBub25jZ===":      false,
		"dGhlIHNhbXBsZSBub25j":          false, // 15 bytes
		"dGhlIHNhbXBsZSBub25jZSE=":      false, // 17 bytes
		"dGhlIHNhbXBsZSBub25jZSEh":      false, // 18 bytes
		"dGhlIHNhbXBsZSBub25\nZQ==":     false,
		"dGhlIHNhbXBsZSBub2*jZQ==":      false,
		"dGhlIHNhbXBsZSBub25jZQ==\r\n.": false,
	} {
		if got := ValidKey([]byte(key)); got != want {
			t.Errorf("ValidKey(%q) = %v", key, got)
		}
	}
}

func FuzzKey(f *testing.F) {
	f.Add([]byte("dGhlIHNhbXBsZSBub25jZQ=="))
	f.Fuzz(func(t *testing.T, key []byte) {
		raw, err := base64.StdEncoding.Strict().DecodeString(string(key))
		want := err == nil && len(raw) == 16 && base64.StdEncoding.EncodeToString(raw) == string(key)
		if ValidKey(key) != want {
			t.Fatalf("ValidKey(%q) = %v", key, !want)
		}
		if len(AcceptKey(key)) != base64.StdEncoding.EncodedLen(20) {
			t.Fatalf("AcceptKey(%q) = %q", key, AcceptKey(key))
		}
	})
}
