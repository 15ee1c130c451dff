package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"gosper/broker/chain"
	"gosper/broker/chain/target"
	"gosper/edge/config"
)

// ChainOptions are those of work chains. What they may call is said in the config file "services".
type ChainOptions struct {
	Lax        bool          // take any hash
	Secrets    string        // JSON file {"name":"value"} of the secrets that services name; "": none
	CA         string        // PEM file of further root certificates; "": none
	Active     int           // chains that have not ended
	Steps      int           // calls at a time
	Memory     int64         // bytes of the messages of chains that have not ended
	Keep       time.Duration // an ended chain is kept so long
	Timeout    time.Duration // of one call
	Attempts   int           // calls for one item
	Deadline   time.Duration // of a chain that says none
	Answer     int           // bytes of an answer
	PerTarget  int           // calls of one service at a time
	EventsOpen bool          // anybody may listen to events
}

func defaultChainOptions() ChainOptions {
	return ChainOptions{Active: 10_000, Steps: 256, Memory: 256 << 20, Keep: 24 * time.Hour, Timeout: 10 * time.Second, Attempts: 10,
		Deadline: time.Hour, Answer: 256 << 10, PerTarget: 32}
}

func (o *ChainOptions) validate() error {
	for _, f := range []struct {
		name  string
		value int64
	}{{"active", int64(o.Active)}, {"steps", int64(o.Steps)}, {"memory", o.Memory}, {"keep", int64(o.Keep)}, {"timeout", int64(o.Timeout)},
		{"attempts", int64(o.Attempts)}, {"deadline", int64(o.Deadline)}, {"answer", int64(o.Answer)}, {"per-service", int64(o.PerTarget)}} {
		if f.value <= 0 {
			return fmt.Errorf("chain-%s: must be positive", f.name)
		}
	}
	return nil
}

func (o *Options) bindChains(b *binder) {
	b.group = "Work chains"
	c := &o.Chains
	b.yes(&c.Lax, "chain-lax", "take any hash in a work message instead of checking it")
	b.text(&c.Secrets, "chain-secrets", "JSON file {\"name\":\"value\"} of the secrets that the config file services names, readable by nobody else")
	b.text(&c.CA, "chain-ca", "PEM file of root certificates that services may have beside those of the system")
	b.number(&c.Active, "chain-active", "work chains that have not ended; more are refused as busy")
	b.long(&c.Memory, "chain-memory", "bytes of the messages of these")
	b.number(&c.Steps, "chain-steps", "calls of all chains at a time")
	b.number(&c.PerTarget, "chain-per-service", "calls of one service at a time, where the table of services does not say")
	b.time(&c.Timeout, "chain-timeout", "time of one call, where the item does not say")
	b.number(&c.Attempts, "chain-attempts", "calls for one item, where it does not say")
	b.time(&c.Deadline, "chain-deadline", "time of a whole chain, where it does not say")
	b.time(&c.Keep, "chain-keep", "an ended chain is kept so long; the same message is the same chain until then")
	b.yes(&c.EventsOpen, "events-open", "anybody may listen at /api/ws/events, without a token")
	b.number(&c.Answer, "chain-answer", "bytes of the answer of a service")
}

// openChains reads the chains that a former run left. They move after their Start.
func (n *Node) openChains(ctx context.Context) error {
	o := &n.options.Chains
	secrets, err := loadSecrets(o.Secrets)
	if err != nil {
		return fmt.Errorf("chain-secrets: %w", err)
	}
	roots, err := loadRoots(o.CA)
	if err != nil {
		return fmt.Errorf("chain-ca: %w", err)
	}
	services := config.Bind(n.config, "services", target.Services{}, (*target.Services).Check)
	n.gateway = target.New(target.Options{
		Services: func() *target.Services { s := services.Get(); return &s },
		Secret:   secrets.get, TLS: roots, Concurrency: o.PerTarget, Answer: o.Answer, Log: n.log})
	var nodes *chain.Nodes
	if n.state != nil {
		nodes = &chain.Nodes{Bus: n.bus, Name: n.name, Idle: !n.options.has(RoleScheduler)}
	}
	n.chains, err = chain.Open(ctx, chain.EngineOptions{
		Nodes: nodes,
		Store: n.store, Queue: n.queue, Executor: n.gateway,
		Changed:   n.chainMoved,
		Locked:    func(s chain.Settings) { n.events.EngineStatus(s) },
		Completed: func(ctx context.Context, s chain.Status) error { return n.table.ChainCompleted(ctx, s) },
		Limits:    chain.Limits{Lax: o.Lax}, Active: o.Active, Memory: o.Memory, Steps: o.Steps, Keep: o.Keep, Timeout: o.Timeout,
		Attempts: o.Attempts, Deadline: o.Deadline, Log: n.log})
	if err != nil {
		return fmt.Errorf("work chains: %w", err)
	}
	return nil
}

// closeChains ends calls under way: they are made again after the next start.
func (n *Node) closeChains() {
	if n.chains != nil {
		n.chains.Close()
	}
	if n.gateway != nil {
		n.gateway.Close()
	}
	n.events.Close()
}

// secrets are those of services, by name.
type secrets map[string]Secret

func (s secrets) get(name string) (string, error) {
	value, ok := s[name]
	if !ok {
		return "", fmt.Errorf("there is no secret %q", name)
	}
	return string(value), nil
}

// loadSecrets reads a file of secrets; none without a name.
func loadSecrets(name string) (secrets, error) {
	if name == "" {
		return nil, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others: chmod 600 it", name)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var all secrets
	if json.Unmarshal(b, &all) != nil { // its error could show a part of a secret
		return nil, fmt.Errorf("%s is not one JSON object of texts", name)
	}
	return all, nil
}

// loadRoots reads further root certificates; nil without a name.
func loadRoots(name string) (*tls.Config, error) {
	if name == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New(name + " holds no certificate")
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}
