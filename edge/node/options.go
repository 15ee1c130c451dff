package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"gosper/broker/mailer"
	"gosper/broker/post"
	"gosper/edge"
	"gosper/edge/cluster"
	"gosper/edge/config"
	"gosper/edge/control"
	"gosper/edge/module"
	"gosper/grid/game"
)

// Options is everything that can be said about a node. DefaultOptions returns all defaults; Settings names each field
// for flags, environment, files and documents; Validate names the first field that cannot be.
type Options struct {
	Data string // folder of everything that lasts

	Bus         string // URL of the bus that nodes share; "": the node is alone
	BusPassword Secret // for a URL without one

	Registry         string // URL of the Redis that holds nonces and counters when the bus is in NATS; "": the node's own store does
	RegistryPassword Secret // for a URL without one

	Store         string   // URL of the servers that hold what lasts of all nodes; "": the node's own database does
	StorePassword Secret   // for a URL without one
	Roles         []string // what this node does, of Roles(); empty: everything
	ReusePort     bool     // other nodes of this machine may open the clients' ports too
	Node          string   // name of this node, which no other one has; "": made at the first start

	LineAddr       string // "" closes a port
	GateAddr       string
	GateWorkerAddr string
	HTTPAddr       string
	InternalAddr   string
	TLSLineAddr    string
	TLSGateAddr    string
	HTTPSAddr      string
	BeanstalkAddr  string
	TLSCert        string
	TLSKey         string
	ProxyFrom      []netip.Prefix
	Origins        []string

	GateOpenFunctions []string // of workers; they need no token

	Secret        Secret // signs tokens; empty: the one in SecretFile
	SecretFile    string // empty: <data>/secret, made at the first start
	InternalToken Secret

	Loops       int
	Functions   module.Options
	Limits      edge.Limits
	Games       game.Limits
	GamesMemory int64 // bytes of all grids together
	clusterOptions
	GameWorkers  int // goroutines that compute games, 0: one a CPU
	HTTP         control.Limits
	DrainTimeout time.Duration

	FreeDisk      int64         // bytes of the disk below which nothing more is written
	CommitTimeout time.Duration // a commit that takes longer is answered with an error

	Mail                     mailer.Options // SMTP, TLS, User, From, Site, Timeout; the rest is filled in at the start
	SMTPPassword             Secret
	Post                     PostOptions
	BuildingsFile            string // JSON; "": module.DefaultBuildings
	ConfigDir                string // folder of JSON files that the node follows; "": config in the data folder
	ConfigReread             time.Duration
	Chains                   ChainOptions
	ChatLog                  bool          // keep everything said in public and in families
	ChatLogAge               time.Duration // for so long
	ChatLogBytes             int64         // and at most so much
	ConfigPublic             []string      // names that everybody may read; "*" is all
	JobReserves, JobTimeouts int           // of one job, after which it is buried; 0 is no limit
	MailWorkers              int           // e-mails sent at a time

	LogLevel  slog.Level
	LogFormat string // "text" or "json"
}

// Secret is a text that never shows itself when it is printed or logged.
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(hidden)"
}

// LogValue hides the secret in logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// DefaultOptions returns the options of a node that was told nothing.
func DefaultOptions() Options {
	return Options{
		Data:         "gosper-data",
		LineAddr:     ":9000",
		GateAddr:     ":8880",
		HTTPAddr:     ":8080",
		InternalAddr: "127.0.0.1:8000",

		GateWorkerAddr: "127.0.0.1:8201",

		Functions:      module.DefaultOptions(),
		Limits:         edge.DefaultLimits(),
		Games:          game.DefaultLimits(),
		GamesMemory:    1 << 30,
		clusterOptions: clusterOptions{ClusterLease: cluster.DefaultLease},
		HTTP:           control.DefaultLimits(),
		DrainTimeout:   30 * time.Second,
		FreeDisk:       128 << 20,
		CommitTimeout:  5 * time.Second,
		Mail:           mailer.Options{TLS: "starttls", From: "gosper@localhost", Site: "gosper", Timeout: 30 * time.Second},
		MailWorkers:    4,
		Post:           PostOptions{Zone: 8, BoxLimit: post.DefaultBoxLimit, BodyLimit: post.DefaultBodyLimit, Workers: post.DefaultWorkers},
		ConfigReread:   config.DefaultReread,
		Chains:         defaultChainOptions(),
		ChatLogAge:     30 * 24 * time.Hour,
		ChatLogBytes:   1 << 30,
		LogFormat:      "text",
	}
}

// Validate returns an error that names the first option that cannot be.
func (o *Options) Validate() error {
	for _, check := range []func() error{o.checkAddrs, o.checkBus, o.checkStore, o.checkRoles, o.checkTLS, o.checkSecrets, o.checkOrigins, o.checkGames, o.checkMail, o.checkRest} {
		if err := check(); err != nil {
			return err
		}
	}
	if err := o.Functions.Validate(); err != nil {
		return fmt.Errorf("functions: %w", err)
	}
	if err := o.Limits.Validate(); err != nil {
		return fmt.Errorf("limit-%w", err)
	}
	if err := o.Chains.validate(); err != nil {
		return err
	}
	if err := o.Games.Validate(); err != nil {
		return fmt.Errorf("limit-games: %w", err)
	}
	return nil
}

func (o *Options) checkAddrs() error {
	seen := make(map[string]string)
	for _, a := range []struct{ name, addr string }{
		{"line-addr", o.LineAddr}, {"http-addr", o.HTTPAddr}, {"internal-addr", o.InternalAddr},
		{"tls-line-addr", o.TLSLineAddr}, {"https-addr", o.HTTPSAddr},
		{"gate-addr", o.GateAddr}, {"gate-worker-addr", o.GateWorkerAddr}, {"tls-gate-addr", o.TLSGateAddr},
		{"beanstalk-addr", o.BeanstalkAddr},
	} {
		if a.addr == "" {
			continue
		}
		_, port, err := net.SplitHostPort(a.addr)
		if err != nil {
			return fmt.Errorf("%s: %q is not host:port", a.name, a.addr)
		}
		if _, err := net.LookupPort("tcp", port); err != nil {
			return fmt.Errorf("%s: %q is not a port", a.name, port)
		}
		if other := seen[a.addr]; other != "" && port != "0" {
			return fmt.Errorf("%s: %s has the same address", a.name, other)
		}
		seen[a.addr] = a.name
	}
	if (o.has(RoleEdge) || o.has(RoleGate)) && o.LineAddr == "" && o.HTTPAddr == "" && o.TLSLineAddr == "" && o.HTTPSAddr == "" && o.GateAddr == "" && o.TLSGateAddr == "" {
		return errors.New("line-addr: every client port is closed")
	}
	return nil
}

func (o *Options) checkTLS() error {
	switch {
	case (o.TLSCert == "") != (o.TLSKey == ""):
		return errors.New("tls-cert: tls-cert and tls-key belong together")
	case o.TLSLineAddr != "" && o.TLSCert == "":
		return errors.New("tls-line-addr: needs tls-cert and tls-key")
	case o.TLSGateAddr != "" && o.TLSCert == "":
		return errors.New("tls-gate-addr: needs tls-cert and tls-key")
	case o.HTTPSAddr != "" && o.TLSCert == "":
		return errors.New("https-addr: needs tls-cert and tls-key")
	}
	return nil
}

// loadTLS reads the certificate; nil without one.
func (o *Options) loadTLS() (*tls.Config, error) {
	if o.TLSCert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(o.TLSCert, o.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("tls-cert: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}, nil
}

func (o *Options) checkSecrets() error {
	if o.Secret != "" && len(o.Secret) < module.MinSecret {
		return fmt.Errorf("secret: needs at least %d bytes", module.MinSecret)
	}
	if o.InternalAddr != "" && o.InternalToken == "" && !loopback(o.InternalAddr) {
		return errors.New("internal-token: needed because internal-addr is not on loopback")
	}
	return nil
}

// loopback says whether an address can be reached from this machine only.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (o *Options) checkOrigins() error {
	for _, origin := range o.Origins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Scheme+"://"+u.Host != origin {
			return fmt.Errorf("origins: %q is not like https://play.example.com", origin)
		}
	}
	return nil
}

func (o *Options) checkMail() error {
	if o.MailWorkers < 1 || o.MailWorkers > 1000 {
		return errors.New("mail-workers: must be 1 to 1000")
	}
	m := o.Mail
	m.Password = string(o.SMTPPassword)
	if err := m.Validate(); err != nil {
		return err
	}
	return o.Post.check()
}

func (o *Options) checkRest() error {
	switch {
	case o.Data == "" || strings.ContainsRune(o.Data, 0):
		return errors.New("data: needs a folder")
	case o.Loops < 0 || o.Loops > edge.MaxLoops:
		return fmt.Errorf("loops: must be 0 to %d", edge.MaxLoops)
	case o.DrainTimeout <= 0:
		return errors.New("drain-timeout: must be positive")
	case o.JobReserves < 0 || o.JobReserves > math.MaxUint32 || o.JobTimeouts < 0 || o.JobTimeouts > math.MaxUint32:
		return errors.New("job-reserves, job-timeouts: must be 0 to 4294967295")
	case o.FreeDisk <= 0:
		return errors.New("free-disk: must be positive")
	case o.CommitTimeout <= 0:
		return errors.New("commit-timeout: must be positive")
	case o.ChatLogAge < module.ChatLogAgeLeast:
		return fmt.Errorf("chat-log-age: must be at least %v", module.ChatLogAgeLeast)
	case o.ChatLogBytes < module.ChatLogBytesLeast:
		return fmt.Errorf("chat-log-bytes: must be at least %d", module.ChatLogBytesLeast)
	case o.ConfigReread < time.Second:
		return errors.New("config-reread: must be at least 1s")
	case o.LogFormat != "text" && o.LogFormat != "json":
		return errors.New("log-format: must be text or json")
	}
	return nil
}
