// Package target makes the calls of work chains: it is the service gateway. A table says which services may be called at
// all, how, and with which secrets; everything else is refused before a connection is made.
//
// Messages come from clients, so a URL is never trusted. Its scheme, host and port must be in the table; the address that a
// name resolves to is checked when it is dialled, so that a name cannot change its meaning in between; redirects are not
// followed; proxies are not used. Answers are bounded in size and time, calls at a time in number, and a target that fails
// again and again is left alone for a while.
package target
