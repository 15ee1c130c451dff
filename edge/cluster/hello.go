package cluster

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Two nodes that meet prove to each other that they have the key, over numbers that were never used:
//
//	dialer   magic version name nonce
//	acceptor magic version name nonce proof("accept", both hellos)
//	dialer   proof("dial", both hellos)
//
// The name of a proof says who made it, so that none can be sent back to its maker.
const (
	magic        = "gosper link\n"
	linkVersion  = 2
	nonceSize    = 32
	proofSize    = sha256.Size
	helloTimeout = 5 * time.Second
)

var (
	errHello   = errors.New("no hello of a node")
	errProof   = errors.New("the other node has another key: do all nodes have the same secret?")
	errVersion = errors.New("the other node speaks another version of the link")
)

// hello is what a node says first.
type hello struct {
	version byte
	node    string
	nonce   [nonceSize]byte
}

func newHello(node string) (h hello) {
	h = hello{version: linkVersion, node: node}
	_, _ = rand.Read(h.nonce[:]) // never fails
	return h
}

func (h *hello) append(dst []byte) []byte {
	dst = append(append(dst, magic...), h.version, byte(len(h.node)))
	return append(append(dst, h.node...), h.nonce[:]...)
}

// readHello reads a hello and nothing behind it.
func readHello(r io.Reader) (h hello, err error) {
	var head [len(magic) + 2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return h, err
	}
	if string(head[:len(magic)]) != magic {
		return h, errHello
	}
	if h.version = head[len(magic)]; h.version != linkVersion {
		return h, fmt.Errorf("%w: %d, this one speaks %d", errVersion, h.version, linkVersion)
	}
	n := int(head[len(magic)+1])
	if n > longestNode {
		return h, errHello
	}
	rest := make([]byte, n+nonceSize)
	if _, err := io.ReadFull(r, rest); err != nil {
		return h, err
	}
	if h.node = string(rest[:n]); !validNode(h.node) {
		return h, errHello
	}
	copy(h.nonce[:], rest[n:])
	return h, nil
}

// proof shows that its maker has the key and has seen both hellos.
func proof(key []byte, who string, dialer, acceptor *hello) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("gosper link " + who + "\n"))
	mac.Write(dialer.append(nil))
	mac.Write(acceptor.append(nil))
	return mac.Sum(nil)
}

func checkProof(r io.Reader, want []byte) error {
	var got [proofSize]byte
	if _, err := io.ReadFull(r, got[:]); err != nil {
		return err
	}
	if !hmac.Equal(got[:], want) {
		return errProof
	}
	return nil
}

// greet is the dialer's part. It returns when the other node has proved that it is the one named.
func greet(conn net.Conn, key []byte, me, other string) error {
	_ = conn.SetDeadline(time.Now().Add(helloTimeout))
	mine := newHello(me)
	if _, err := conn.Write(mine.append(nil)); err != nil {
		return err
	}
	theirs, err := readHello(conn)
	if err != nil {
		return err
	}
	if err := checkProof(conn, proof(key, "accept", &mine, &theirs)); err != nil {
		return err
	}
	if theirs.node != other {
		return fmt.Errorf("%s is there", theirs.node)
	}
	if _, err := conn.Write(proof(key, "dial", &mine, &theirs)); err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// welcome is the acceptor's part. It returns the name of the node that has proved to be one.
func welcome(conn net.Conn, key []byte, me string) (string, error) {
	_ = conn.SetDeadline(time.Now().Add(helloTimeout))
	theirs, err := readHello(conn)
	if err != nil {
		return "", err
	}
	mine := newHello(me)
	if _, err := conn.Write(append(mine.append(nil), proof(key, "accept", &theirs, &mine)...)); err != nil {
		return "", err
	}
	if err := checkProof(conn, proof(key, "dial", &theirs, &mine)); err != nil {
		return "", err
	}
	return theirs.node, conn.SetDeadline(time.Time{})
}
