package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Role is a part of what nodes do. By default a node has all of them; the nodes of a larger site may share them out, since what
// they work on is in the store that they share.
type Role string

// The roles.
const (
	RoleEdge      Role = "edge"      // ports of clients: lines, page, API, websocket
	RoleGate      Role = "gate"      // ports of the gate and of its workers
	RoleWorker    Role = "worker"    // jobs of functions (e-mails, buildings, families), and the beanstalkd port
	RoleAuth      Role = "auth"      // tokens and nonces at the internal port
	RoleConfig    Role = "config"    // config files at the internal port
	RoleMail      Role = "mail"      // mailboxes at the internal port; makes files of what dead nodes have left
	RoleGame      Role = "game"      // games
	RoleScheduler Role = "scheduler" // work chains and the chat log, one such node at a time
)

// Roles lists all roles.
func Roles() []Role {
	return []Role{RoleEdge, RoleGate, RoleWorker, RoleAuth, RoleConfig, RoleMail, RoleGame, RoleScheduler}
}

// has says whether the node has a role.
func (o *Options) has(r Role) bool { return len(o.Roles) == 0 || slices.Contains(o.Roles, string(r)) }

// whole says whether the node has all roles.
func (o *Options) whole() bool {
	return !slices.ContainsFunc(Roles(), func(r Role) bool { return !o.has(r) })
}

// OfRoles returns the options as the node of these roles has them: ports that belong to other roles are closed.
func (o Options) OfRoles() Options {
	for role, ports := range map[Role][]*string{
		RoleEdge:   {&o.LineAddr, &o.TLSLineAddr, &o.HTTPAddr, &o.HTTPSAddr},
		RoleGate:   {&o.GateAddr, &o.TLSGateAddr, &o.GateWorkerAddr},
		RoleWorker: {&o.BeanstalkAddr},
	} {
		for _, port := range ports {
			if !o.has(role) {
				*port = ""
			}
		}
	}
	o.ChatLog = o.ChatLog && o.has(RoleScheduler)
	return o
}

func (o *Options) checkRoles() error {
	for _, name := range o.Roles {
		if !slices.Contains(Roles(), Role(name)) {
			return fmt.Errorf("roles: %q is none of %s", name, roleNames())
		}
	}
	if o.whole() || o.Store != "" {
		return nil
	}
	return fmt.Errorf("roles: a node without %s works with others, so they need to share what lasts: give all of them one --store (and one --bus)", o.missing())
}

// missing lists the roles that the node has not.
func (o *Options) missing() string {
	var names []string
	for _, r := range Roles() {
		if !o.has(r) {
			names = append(names, string(r))
		}
	}
	return strings.Join(names, ", ")
}

func roleNames() string {
	var names []string
	for _, r := range Roles() {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

// closedGroups are the parts of the internal port that are other nodes'.
func (o *Options) closedGroups() []string {
	var closed []string
	for _, r := range []Role{RoleAuth, RoleConfig, RoleMail} {
		if !o.has(r) {
			closed = append(closed, string(r))
		}
	}
	return closed
}

// bindRoles describes the options of roles.
func (o *Options) bindRoles(b *binder) {
	b.value(&listValue{&o.Roles}, "roles", "what this node does: some of "+roleNames()+"; empty: everything. Nodes that do not do everything need a store that they share")
	b.yes(&o.ReusePort, "reuse-port", "the ports of clients may be opened by several nodes of this machine, among which the kernel shares out connections (SO_REUSEPORT)")
}

// ready says why the node should get no clients; nil when it should. Each role has its needs.
func (n *Node) ready() error {
	errs := []error{n.stateHealth(), n.busHealth()}
	if n.engine != nil {
		errs = append(errs, n.engine.Err())
	}
	if n.options.has(RoleWorker) && n.work.workers == nil {
		errs = append(errs, errors.New("worker: it has not begun"))
	}
	if n.post != nil {
		if err := n.post.Health(); err != nil {
			errs = append(errs, fmt.Errorf("mail: %w", err))
		}
	}
	return errors.Join(errs...)
}
