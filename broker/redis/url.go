package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// DefaultPrefix begins every key and channel when the URL names no other.
const DefaultPrefix = "gosper"

// Schemes are the beginnings of URLs that this package takes.
var Schemes = []string{"redis", "rediss", "unix"}

// parameters are all that may follow the question mark.
var parameters = []string{"addr", "master_set", "db", "prefix", "ca", "cert", "key", "flush_delay", "skip_verify"}

// Check returns an error that says what is wrong with a URL, or nil. Nothing is read or connected to. No error shows
// the password.
func Check(text string) error {
	_, _, err := parse(text)
	return err
}

// parse reads a URL, without the files that it names.
func parse(text string) (option rueidis.ClientOption, query url.Values, err error) {
	u, err := url.Parse(text)
	if err != nil {
		var detail *url.Error // its text is the whole URL
		if errors.As(err, &detail) {
			err = detail.Err
		}
		return option, nil, fmt.Errorf("redis: not a URL: %w", err)
	}
	if !slices.Contains(Schemes, u.Scheme) {
		return option, nil, fmt.Errorf("redis: a URL begins with redis://, rediss:// or unix://, not %q", u.Scheme)
	}
	query, err = url.ParseQuery(u.RawQuery)
	if err != nil {
		return option, nil, fmt.Errorf("redis: what follows the ? of the URL: %w", err)
	}
	for name := range query {
		if !slices.Contains(parameters, name) {
			return option, nil, fmt.Errorf("redis: the URL has an unknown parameter %q; there are %s", name, strings.Join(parameters, ", "))
		}
	}
	if err := checkParameters(u.Scheme, query); err != nil {
		return option, nil, err
	}
	option, err = rueidis.ParseURL(text)
	if err != nil {
		return option, nil, err
	}
	return option, query, nil
}

func checkParameters(scheme string, query url.Values) error {
	if _, err := flushDelay(query); err != nil {
		return err
	}
	for _, c := range prefix(query) {
		if c <= ' ' || c == 0x7f || strings.ContainsRune("{}*?[]\\", c) {
			return fmt.Errorf("redis: prefix=%q: blanks, braces and wildcards cannot be", prefix(query))
		}
	}
	if scheme != "rediss" && (query.Has("ca") || query.Has("cert") || query.Has("key") || query.Has("skip_verify")) {
		return errors.New("redis: ca, cert, key and skip_verify need rediss://")
	}
	if query.Has("cert") != query.Has("key") {
		return errors.New("redis: cert and key belong together")
	}
	return nil
}

func prefix(query url.Values) string {
	if p := query.Get("prefix"); p != "" {
		return p
	}
	return DefaultPrefix
}

// maxFlushDelay bounds flush_delay: more would be felt.
const maxFlushDelay = 10 * time.Millisecond

func flushDelay(query url.Values) (time.Duration, error) {
	text := query.Get("flush_delay")
	if text == "" {
		return 0, nil
	}
	delay, err := time.ParseDuration(text)
	if err != nil || delay < 0 || delay > maxFlushDelay {
		return 0, fmt.Errorf("redis: flush_delay=%q: a time up to %s, as 20us", text, maxFlushDelay)
	}
	return delay, nil
}

// clientOption turns a URL into all that a client needs, the certificates read.
func clientOption(text string) (option rueidis.ClientOption, keyPrefix string, err error) {
	option, query, err := parse(text)
	if err != nil {
		return option, "", err
	}
	if err := loadCertificates(option.TLSConfig, query); err != nil {
		return option, "", err
	}
	option.MaxFlushDelay, _ = flushDelay(query) // checked by parse
	option.DisableCache = true
	option.DisableRetry = true // a script that was sent must not be sent again by itself
	option.AlwaysPipelining = true
	option.PipelineMultiplex = -1 // one connection: the order of messages is the order of commands
	option.BlockingPoolCleanup = time.Minute
	option.ReadBufferEachConn, option.WriteBufferEachConn = bufferSize, bufferSize
	option.Dialer.Timeout, option.Dialer.KeepAlive = dialTimeout, pingEvery
	option.ConnWriteTimeout = answerTimeout
	option.ClientName = "gosper"
	if option.Sentinel.MasterSet != "" {
		option.Sentinel.TopologyRefreshInterval = 5 * time.Second // a switch that was not heard of is seen
		option.Sentinel.TLSConfig = option.TLSConfig
	}
	return option, prefix(query), nil
}

func loadCertificates(config *tls.Config, query url.Values) error {
	if file := query.Get("ca"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("redis: ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("redis: ca: %s has no certificate (PEM)", file)
		}
	}
	if query.Has("cert") {
		pair, err := tls.LoadX509KeyPair(query.Get("cert"), query.Get("key"))
		if err != nil {
			return fmt.Errorf("redis: cert: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return nil
}
