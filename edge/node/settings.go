package node

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/peterbourgon/ff/v3"
	"github.com/peterbourgon/ff/v3/fftoml"
	"github.com/peterbourgon/ff/v3/ffyaml"

	"gosper/edge"
)

// EnvPrefix begins the name of every environment variable of a node.
const EnvPrefix = "GOSPER"

// Setting is one option as users see it. The flag is --Name, the environment variable GOSPER_NAME with "_" for "-", the
// key of a YAML or TOML file Name; nested keys are joined by "-".
type Setting struct {
	Name    string
	Group   string // heading in documents
	Default string
	Help    string
	Secret  bool // never from the command line, where every user of the machine can read it
}

// Env returns the environment variable of the setting.
func (s *Setting) Env() string {
	return EnvPrefix + "_" + strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
}

// binder describes each field of an Options once: it makes the flag and the setting.
type binder struct {
	flags *flag.FlagSet
	list  []Setting
	group string
}

func (b *binder) add(name, help string) {
	f := b.flags.Lookup(name)
	b.list = append(b.list, Setting{Name: name, Group: b.group, Default: f.DefValue, Help: help})
}

func (b *binder) text(p *string, name, help string) {
	b.flags.StringVar(p, name, *p, help)
	b.add(name, help)
}

func (b *binder) number(p *int, name, help string) {
	b.flags.IntVar(p, name, *p, help)
	b.add(name, help)
}

func (b *binder) long(p *int64, name, help string) {
	b.flags.Int64Var(p, name, *p, help)
	b.add(name, help)
}

func (b *binder) decimal(p *float64, name, help string) {
	b.flags.Float64Var(p, name, *p, help)
	b.add(name, help)
}

func (b *binder) time(p *time.Duration, name, help string) {
	b.flags.DurationVar(p, name, *p, help)
	b.add(name, help)
}

func (b *binder) yes(p *bool, name, help string) {
	b.flags.BoolVar(p, name, *p, help)
	b.add(name, help)
}

func (b *binder) value(v flag.Value, name, help string) {
	b.flags.Var(v, name, help)
	b.add(name, help)
}

func (b *binder) secret(p *Secret, name, help string) {
	b.value((*secretValue)(p), name, help)
	b.list[len(b.list)-1].Secret = true
}

// bind describes every option of o.
func (o *Options) bind() *binder {
	b := &binder{flags: flag.NewFlagSet("gosper serve", flag.ContinueOnError)}
	b.flags.SetOutput(io.Discard)
	o.bindPlaces(b)
	o.bindBus(b)
	o.bindSecrets(b)
	o.bindFunctions(b)
	o.bindGames(b)
	o.bindMail(b)
	o.bindChains(b)
	o.bindHTTP(b)
	b.group = "Limits of clients"
	for _, row := range edge.LimitsTable() {
		help := row.Doc + " (" + row.Unit + "); beyond it: " + row.Code
		b.value(&limitValue{&o.Limits, row.Name}, "limit-"+strings.ReplaceAll(row.Name, "_", "-"), help)
	}
	o.bindGameLimits(b)
	return b
}

func (o *Options) bindPlaces(b *binder) {
	b.group = "Node"
	b.text(&o.Data, "data", "folder of everything that lasts; with store, of what stays this node's own")
	b.number(&o.Loops, "loops", "event loops; 0 is one a CPU. When they could take all processors of the Go runtime it gets one more, unless the environment has GOMAXPROCS")
	b.time(&o.DrainTimeout, "drain-timeout", "longest time a drain may take")
	b.long(&o.FreeDisk, "free-disk", "bytes that must stay free on the disk; below it writes are refused")
	b.time(&o.CommitTimeout, "commit-timeout", "a write that the disk does not confirm in this time fails")
	b.value(&levelValue{&o.LogLevel}, "log-level", "debug, info, warn or error")
	b.text(&o.LogFormat, "log-format", "text or json")
	b.group = "Ports"
	b.text(&o.LineAddr, "line-addr", "port of the line protocol; empty closes it")
	b.text(&o.GateAddr, "gate-addr", "port of the gate: one JSON line in, one out; empty closes it")
	b.text(&o.GateWorkerAddr, "gate-worker-addr", "port on which workers elsewhere answer requests of the gate, without login: loopback or a trusted network; empty closes it")
	b.value(&listValue{&o.GateOpenFunctions}, "gate-open-functions", "functions of workers elsewhere that need no token, as ping,register_shop,…")
	b.text(&o.HTTPAddr, "http-addr", "port of page, API and websocket; empty closes it")
	b.text(&o.InternalAddr, "internal-addr", "port for services and operators; empty closes it")
	b.text(&o.TLSLineAddr, "tls-line-addr", "port of the line protocol under TLS; empty closes it")
	b.text(&o.TLSGateAddr, "tls-gate-addr", "port of the gate under TLS; empty closes it")
	b.text(&o.HTTPSAddr, "https-addr", "port of page, API and websocket under TLS; empty closes it")
	b.text(&o.BeanstalkAddr, "beanstalk-addr", "port of the beanstalkd protocol over the durable queue, without login: loopback or a trusted network; empty closes it")
	b.text(&o.TLSCert, "tls-cert", "file with the certificate chain (PEM)")
	b.text(&o.TLSKey, "tls-key", "file with the certificate's key (PEM)")
	b.value(&prefixesValue{&o.ProxyFrom}, "proxy-from", "addresses of balancers that send a PROXY protocol header, as 10.0.0.0/8,…")
	b.value(&listValue{&o.Origins}, "origins", "origins that browsers may connect from, as https://play.example.com,…; empty: the same host")
}

func (o *Options) bindSecrets(b *binder) {
	b.group = "Secrets"
	b.secret(&o.Secret, "secret", "signs tokens and codes, at least 16 bytes; empty: the one in secret-file")
	b.text(&o.SecretFile, "secret-file", "file with the signing secret; empty: secret in the data folder, made at the first start")
	b.secret(&o.InternalToken, "internal-token", "bearer token of the internal port; needed when that is not on loopback")
}

func (o *Options) bindFunctions(b *binder) {
	f := &o.Functions
	b.group = "Functions"
	b.number(&f.Workers, "call-workers", "function calls worked on at a time")
	b.number(&f.Queue, "call-queue", "calls that may wait for a worker; more are answered busy")
	b.time(&f.CallTimeout, "call-timeout", "a call that takes longer is answered timed out")
	b.number(&f.PasswordWorkers, "password-workers", "passwords checked at a time: 19 MiB and a core each")
	b.number(&f.PasswordQueue, "password-queue", "password checks that may wait; more are answered busy")
	b.time(&f.TokenAge, "token-age", "validity of login and session tokens")
	b.time(&f.ChatNonceAge, "chat-nonce-age", "validity of a nonce of /chat/token")
	b.time(&f.NonceAge, "nonce-age", "longest validity of a nonce of a service")
	b.time(&f.EmailCodeAge, "email-code-age", "validity of an e-mail code")
	b.yes(&f.SeveralLogins, "several-logins", "a new login of an account leaves its older ones alone")
	b.number(&f.MailOutbox, "mail-outbox", "e-mails that may wait to be sent")
	b.number(&f.ResumePositions, "resume-positions", "positions a resume may name")
	b.number(&f.GamePage, "game-page", "most games or events that one page of a list has")
	b.number(&f.GameText, "game-text", "bytes of a pattern's text, or of a grid of the past, in one call")
	b.text(&o.BuildingsFile, "buildings-file", "JSON file of what can be built, {kind: [{seconds, pattern or rle}, …]}; empty: house, lighthouse, shipyard")
	b.text(&o.ConfigDir, "config-dir", "folder of JSON files that a running node follows (figures of functions, and what clients ask for); empty: config in the data folder")
	b.time(&o.ConfigReread, "config-reread", "time after which all of them are read anew, changed or not; changes are looked for every 2s")
	b.value(&listValue{&o.ConfigPublic}, "config-public", "names of them that everybody may read at /api/config, as world_map,version; * is all")
	b.group = "Chat"
	b.number(&f.TextBytes, "chat-text", "longest chat text in bytes")
	b.number(&f.ChatKeep.Messages, "chat-history", "messages kept for a world or family; 0 keeps none")
	b.time(&f.ChatKeep.Age, "chat-history-age", "time they are kept; 0 is without end")
	b.yes(&o.ChatLog, "chat-log", "keep a log of everything said in public and in families, for gosper chatlog")
	b.time(&o.ChatLogAge, "chat-log-age", "the chat log drops what is older")
	b.long(&o.ChatLogBytes, "chat-log-bytes", "bytes of the chat log, beyond which it drops what is oldest")
	b.number(&f.HistoryMax, "chat-history-page", "most messages one /chat/history returns")
	b.number(&f.PresenceNames, "presence-names", "worlds with more players tell their number, not their names")
	b.time(&f.PresenceBatch, "presence-batch", "time over which comings and goings are gathered; ten times that in worlds that tell no names")
	b.group = "Rates of a caller"
	b.decimal(&f.ReadRate.PerSecond, "rate-read", "reads a second of an account; 0 is no limit")
	b.number(&f.ReadRate.Burst, "burst-read", "reads at once")
	b.decimal(&f.WriteRate.PerSecond, "rate-write", "writes a second of an account; 0 is no limit")
	b.number(&f.WriteRate.Burst, "burst-write", "writes at once")
	b.decimal(&f.ChatRate.PerSecond, "rate-chat", "chat lines a second of an account; 0 is no limit")
	b.number(&f.ChatRate.Burst, "burst-chat", "chat lines at once")
	b.decimal(&f.EditRate.PerSecond, "rate-edit", "calls and lines that draw, a second of an account; 0 is no limit")
	b.number(&f.EditRate.Burst, "burst-edit", "calls and lines that draw at once")
	b.decimal(&f.LookRate.PerSecond, "rate-look", "patterns and grids of the past a second of an account; 0 is no limit")
	b.number(&f.LookRate.Burst, "burst-look", "patterns and grids of the past at once")
	b.decimal(&f.AuthRate.PerSecond, "rate-auth", "logins and registrations a second of a client address; 0 is no limit")
	b.number(&f.AuthRate.Burst, "burst-auth", "logins and registrations at once")
	b.decimal(&f.GuessRate.PerSecond, "rate-guess", "password tries a second for one account name; 0 is no limit")
	b.number(&f.GuessRate.Burst, "burst-guess", "password tries at once")
}

func (o *Options) bindMail(b *binder) {
	b.group = "Queue"
	b.number(&o.JobReserves, "job-reserves", "a job that was reserved so often and comes back is buried; 0 is no limit")
	b.number(&o.JobTimeouts, "job-timeouts", "a job whose lease ended so often without an answer is buried; 0 is no limit")
	b.group = "E-mail"
	b.text(&o.Mail.SMTP, "smtp-addr", "host:port of the SMTP server; empty: e-mails go to the folder outbox in the data folder, see gosper mail outbox")
	b.text(&o.Mail.TLS, "smtp-tls", "starttls, tls (from the first byte) or none (trusted networks only)")
	b.text(&o.Mail.User, "smtp-user", "user name for the SMTP server; empty: it asks for none")
	b.secret(&o.SMTPPassword, "smtp-password", "password for the SMTP server")
	b.text(&o.Mail.From, "mail-from", "address of the sender, as Gosper <game@example.com>")
	b.text(&o.Mail.Site, "mail-site", "name of the game in the texts")
	b.time(&o.Mail.Timeout, "mail-timeout", "time for one e-mail; then it is tried again")
	b.number(&o.MailWorkers, "mail-workers", "e-mails sent at a time")
	o.Post.bind(b)
}

func (o *Options) bindHTTP(b *binder) {
	h := &o.HTTP
	b.group = "HTTP"
	b.number(&h.Header, "http-header", "bytes of a request's line and headers")
	b.number(&h.Body, "http-body", "bytes of a body at the public port")
	b.number(&h.InternalBody, "http-internal-body", "bytes of a body at the internal port")
	b.time(&h.ReadTimeout, "http-read-timeout", "time for a whole request")
	b.time(&h.WriteTimeout, "http-write-timeout", "time for a whole answer")
	b.time(&h.IdleTimeout, "http-idle-timeout", "time between two requests of a connection")
	b.number(&h.Connections, "http-connections", "connections of the public port that are not yet websockets")
	b.number(&h.Internal, "http-internal-connections", "connections of the internal port")
	b.number(&h.Tails, "http-tails", "streams of /admin/tail at a time")
}

// Settings lists every option in the order of its groups, with the defaults.
func Settings() []Setting {
	o := DefaultOptions()
	return o.bind().list
}

// Values returns the present value of every option by name, secrets hidden.
func (o *Options) Values() map[string]string {
	values := make(map[string]string)
	copied := *o
	copied.bind().flags.VisitAll(func(f *flag.Flag) { values[f.Name] = f.Value.String() })
	return values
}

// ErrSecretArgument is returned when a secret stands on the command line.
var ErrSecretArgument = errors.New("a secret must come from a file or the environment, not from the command line")

// Parse sets options from arguments, then from the environment, then from the file that --config or GOSPER_CONFIG
// names (.yaml, .yml or .toml): the first that names an option wins. It returns the arguments that are no flags.
// extra, if not nil, adds flags of the command itself, which environment and file may set too. Unknown flags and keys
// are errors; flag.ErrHelp asks for help. Parse does not validate.
func (o *Options) Parse(args []string, extra func(*flag.FlagSet)) (rest []string, err error) {
	b := o.bind()
	file := b.flags.String("config", "", "file with options")
	if extra != nil {
		extra(b.flags)
	}
	if err := b.flags.Parse(args); err != nil {
		return nil, err
	}
	secrets := make(map[string]bool)
	for _, s := range b.list {
		secrets[s.Name] = s.Secret
	}
	b.flags.Visit(func(f *flag.Flag) {
		if secrets[f.Name] {
			err = fmt.Errorf("%s: %w", f.Name, ErrSecretArgument)
		}
	})
	if err != nil {
		return nil, err
	}
	err = ff.Parse(b.flags, args, ff.WithEnvVarPrefix(EnvPrefix), ff.WithConfigFileVia(file),
		ff.WithConfigFileParser(func(r io.Reader, set func(name, value string) error) error {
			return parseFile(*file, r, set)
		}))
	return b.flags.Args(), err
}

// parseFile reads a configuration file by its ending.
func parseFile(name string, r io.Reader, set func(name, value string) error) error {
	if name == "" {
		return nil
	}
	var err error
	switch filepath.Ext(name) {
	case ".yaml", ".yml":
		err = (&ffyaml.ParseConfig{Delimiter: "-"}).Parse(r, set)
	case ".toml":
		err = fftoml.New(fftoml.WithTableDelimiter("-")).Parse(r, set)
	default:
		err = errors.New("must end in .yaml, .yml or .toml")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// parsePrefixes reads addresses and networks with commas between them.
func parsePrefixes(text string) (list []netip.Prefix, err error) {
	for _, part := range splitList(text) {
		p, err := netip.ParsePrefix(part)
		if err != nil {
			a, err := netip.ParseAddr(part)
			if err != nil {
				return nil, fmt.Errorf("%q is not an address or network", part)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		list = append(list, p)
	}
	return list, nil
}

// splitList splits at commas and drops blanks and empty parts.
func splitList(text string) (list []string) {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}
