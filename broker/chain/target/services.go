package target

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"gosper/broker/chain"
)

// Services is the table of what may be called: the content of the config file "services". The zero value allows nothing.
//
//	{"services":{"https://shop.example":{"headers":{"Authorization":"Bearer {secret:shop}"}},
//	             "amqp://mq.example:5672":{"login":"rabbit","declare":true}},
//	 "routes":{"orders/stock/*":"https://shop.example"}}
type Services struct {
	// Services are named by scheme, host and port.
	Services map[string]Service `json:"services"`
	// Routes lead a request without URL to a service by its endpoint, /<application>/api/<module>/<function>. A "*" is any
	// name; the route with fewer of them wins.
	Routes map[string]string `json:"routes"`
}

// Service says how one service is called. The zero value: over public addresses, without secrets.
type Service struct {
	Private     bool              `json:"private"`     // may have a private or loopback address
	Concurrency int               `json:"concurrency"` // calls at a time; 0: the default
	Headers     map[string]string `json:"headers"`     // of each HTTP request; {secret:<name>} stands for a secret
	Login       string            `json:"login"`       // AMQP: name of the secret "user:password"; "" uses what the message says
	Declare     bool              `json:"declare"`     // AMQP: makes the queue, durable, when it is not there
}

// Check names the first entry that cannot be. It also makes every name canonical.
func (s *Services) Check() error {
	all := make(map[string]Service, len(s.Services))
	for name, service := range s.Services {
		u, err := url.Parse(name)
		if err != nil || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("services: %q is not scheme://host:port", name)
		}
		key, err := originOf(u)
		if err != nil {
			return fmt.Errorf("services: %q: %w", name, err)
		}
		if err := service.check(strings.HasPrefix(key, "amqp")); err != nil {
			return fmt.Errorf("services: %q: %w", name, err)
		}
		if _, double := all[key]; double {
			return fmt.Errorf("services: %q is there twice", key)
		}
		all[key] = service
	}
	routes := make(map[string]string, len(s.Routes))
	for route, to := range s.Routes {
		if parts := strings.Split(route, "/"); len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
			return fmt.Errorf("routes: %q is not application/module/function", route)
		}
		u, err := url.Parse(to)
		if err != nil {
			return fmt.Errorf("routes: %q: %q is no URL", route, to)
		}
		key, err := originOf(u)
		if err != nil {
			return fmt.Errorf("routes: %q: %w", route, err)
		}
		if _, ok := all[key]; !ok {
			return fmt.Errorf("routes: %q leads to %s, which is not among services", route, key)
		}
		if !strings.HasPrefix(key, "http") {
			return fmt.Errorf("routes: %q leads to %s: only https and http services have routes", route, key)
		}
		routes[route] = key
	}
	s.Services, s.Routes = all, routes
	return nil
}

// maxConcurrency bounds the calls of one service at a time.
const maxConcurrency = 1024

func (s *Service) check(queues bool) error {
	switch {
	case s.Concurrency < 0 || s.Concurrency > maxConcurrency:
		return fmt.Errorf("concurrency must be 0 to %d", maxConcurrency)
	case queues && len(s.Headers) > 0:
		return errors.New("headers are for https and http services")
	case !queues && (s.Login != "" || s.Declare):
		return errors.New("login and declare are for amqp and amqps services")
	}
	for name := range s.Headers {
		if name == "" || strings.Trim(name, tokenChars) != "" {
			return fmt.Errorf("%q is no name of a header", name)
		}
	}
	return nil
}

// tokenChars are those that the name of a header may have.
const tokenChars = "-_.!#$%&'*+^`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// ports are those of schemes that are written without one.
var ports = map[string]string{"https": "443", "http": "80", "amqp": "5672", "amqps": "5671"}

// originOf returns scheme, host and port of a URL in one spelling.
func originOf(u *url.URL) (string, error) {
	scheme, host, port := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()
	if ports[scheme] == "" {
		return "", errors.New("the scheme is not https, http, amqp or amqps")
	}
	if host == "" {
		return "", errors.New("there is no host")
	}
	if port == "" {
		port = ports[scheme]
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + "://" + host + ":" + port, nil
}

// schemes are those that a type of request may use.
var schemes = map[string][]string{chain.TypeHTTPS: {"https"}, chain.TypeHTTP: {"http", "https"}, chain.TypeAMQP: {"amqp", "amqps"}}

// Errors of requests that are refused before anything is dialled.
var (
	errNotAllowed = errors.New("this service is not in the table of services")
	errNoRoute    = errors.New("no route leads from this endpoint to a service")
)

// place is where a request goes.
type place struct {
	origin  string // key of the service
	service Service
	user    *url.Userinfo // of the message
	path    string        // of HTTP; of AMQP the virtual host
}

// find returns where a request goes, or why it must not.
func (s *Services) find(r *chain.Request) (place, error) {
	if r.URL == "" && r.Type != chain.TypeAMQP {
		origin, err := s.route(r.Endpoint)
		return place{origin: origin, service: s.Services[origin], path: r.Endpoint}, err
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return place{}, errors.New("url cannot be read") // its text may hold a password
	}
	origin, err := originOf(u)
	if err != nil {
		return place{}, err
	}
	if !allowed(r.Type, u.Scheme) {
		return place{}, fmt.Errorf("a request of type %s cannot go to %s", r.Type, strings.ToLower(u.Scheme))
	}
	service, ok := s.Services[origin]
	if !ok {
		return place{}, errNotAllowed
	}
	p := place{origin: origin, service: service, user: u.User, path: u.Path}
	if r.Type != chain.TypeAMQP {
		if p.path, err = pathOf(u, r.Endpoint); err != nil {
			return place{}, err
		}
	}
	return p, nil
}

func allowed(kind, scheme string) bool {
	for _, s := range schemes[kind] {
		if strings.EqualFold(s, scheme) {
			return true
		}
	}
	return false
}

// pathOf joins the path of a URL, which mostly has none, and the endpoint.
func pathOf(u *url.URL, endpoint string) (string, error) {
	if u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", errors.New("url must be scheme, host and port only")
	}
	if endpoint != "" && endpoint[0] != '/' {
		return "", errors.New("endpoint must begin with /")
	}
	return strings.TrimSuffix(u.EscapedPath(), "/") + endpoint, nil
}

// route finds the service of an endpoint.
func (s *Services) route(endpoint string) (string, error) {
	path, _, _ := strings.Cut(endpoint, "?")
	parts := strings.Split(path, "/")
	if len(parts) != 5 || parts[0] != "" || parts[2] != "api" {
		return "", errNoRoute
	}
	names := []string{parts[1], parts[3], parts[4]}
	best, found := 4, ""
	for route, origin := range s.Routes {
		stars, fits := 0, true
		for i, want := range strings.Split(route, "/") {
			if want == "*" {
				stars++
			} else if want != names[i] {
				fits = false
			}
		}
		// Of two that fit as well, the choice must not depend on the order of a map.
		if fits && (stars < best || stars == best && origin < found) {
			best, found = stars, origin
		}
	}
	if found == "" {
		return "", errNoRoute
	}
	return found, nil
}
