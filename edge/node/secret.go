package node

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gosper/edge/module"
)

// loadSecret returns the signing secret: the option, or the content of its file. The file in the data folder is made
// when there is none.
func loadSecret(o *Options) ([]byte, error) {
	if o.Secret != "" {
		return []byte(o.Secret), nil
	}
	name, own := o.SecretFile, false
	if name == "" {
		name, own = filepath.Join(o.Data, "secret"), true
	}
	secret, err := readSecret(name, own)
	if own && errors.Is(err, fs.ErrNotExist) {
		if err = createSecret(name); err == nil {
			secret, err = readSecret(name, own)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("secret-file: %w", err)
	}
	return secret, nil
}

// readSecret reads a secret file. One of our own must be closed to other users.
func readSecret(name string, own bool) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if own && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by other users: chmod 600 it", name)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	secret := strings.TrimSpace(string(b))
	if len(secret) < module.MinSecret {
		return nil, fmt.Errorf("%s holds less than %d bytes", name, module.MinSecret)
	}
	return []byte(secret), nil
}

// createSecret writes a new random secret under name, whole or not at all, and never over a file that is there: of
// two processes one wins and both read the same secret.
func createSecret(name string) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(name), ".secret-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(temp.Name())) }()
	raw := make([]byte, 32)
	rand.Read(raw)
	_, err = temp.WriteString(hex.EncodeToString(raw) + "\n")
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	if err = os.Link(temp.Name(), name); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(filepath.Dir(name))
}

// syncFolder makes a new name in a folder survive a loss of power.
func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
