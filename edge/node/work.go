package node

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"gosper/broker/mailer"
	"gosper/broker/worker"
	"gosper/edge"
	"gosper/edge/door/beanstalk"
	"gosper/edge/module"
)

// work is the part of a node that does jobs: the workers and the door of workers elsewhere.
type work struct {
	door    *beanstalk.Door // nil without its port
	workers *worker.Runtime

	// ctx ends with the node; looks are goroutines that end then.
	ctx   context.Context
	end   context.CancelFunc
	looks sync.WaitGroup
	staff atomic.Bool // a worker of the gate was seen at the shared queue
}

// mailbox is the folder of e-mails that no SMTP server takes, "" with a server.
func (o *Options) mailbox() string {
	if o.Mail.SMTP != "" {
		return ""
	}
	return Mailbox(o.Data)
}

// Mailbox is the folder of unsent e-mails in a data folder.
func Mailbox(data string) string { return filepath.Join(data, "outbox") }

// buildings reads what can be built; nil: the kinds of the program.
func (o *Options) buildings() (module.BuildingKinds, error) {
	if o.BuildingsFile == "" {
		return nil, nil
	}
	kinds, err := module.LoadBuildings(o.BuildingsFile)
	if err != nil {
		return nil, fmt.Errorf("buildings-file: %w", err)
	}
	return kinds, nil
}

// repairTimeout bounds what a start does for jobs that a crash left out.
const repairTimeout = time.Minute

// startWork mends what a crash may have left half done and starts the workers.
func (n *Node) startWork() error {
	o := n.options.Mail
	o.Password, o.Folder = string(n.options.SMTPPassword), n.options.mailbox()
	mails, err := mailer.New(o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), repairTimeout)
	defer cancel()
	if _, err := n.table.Outbox().Repair(ctx); err != nil {
		return fmt.Errorf("e-mails: %w", err)
	}
	if err := n.table.RepairBuildings(ctx); err != nil {
		return fmt.Errorf("buildings: %w", err)
	}
	if err := n.table.RepairFamilies(ctx); err != nil {
		return fmt.Errorf("families: %w", err)
	}
	if err := n.chains.Start(); err != nil {
		return fmt.Errorf("work chains: %w", err)
	}
	if !n.options.has(RoleWorker) {
		return nil
	}
	tubes := []worker.Tube{n.table.Outbox().Tube(mails, n.options.MailWorkers)}
	if t, ok := n.table.BuildingTube(); ok {
		tubes = append(tubes, t)
	}
	if t, ok := n.table.FamilyTube(); ok {
		tubes = append(tubes, t)
	}
	n.work.workers, err = worker.Start(worker.Options{Queue: n.queue, Log: n.log, Tubes: tubes})
	return err
}

// beanstalk returns the listener of workers elsewhere.
func (n *Node) beanstalk() []edge.Listener {
	if n.options.BeanstalkAddr == "" {
		return nil
	}
	n.work.door = beanstalk.New(n.queue, beanstalkVersion, n.log)
	return []edge.Listener{{Name: "beanstalk", Addr: n.options.BeanstalkAddr, Door: n.work.door}}
}

// beanstalkVersion is what stats tells: the version whose protocol the door speaks.
const beanstalkVersion = "1.12+gosper"

// stopTime bounds the wait for jobs under way when a node closes. Those that take longer come again after the next start.
const stopTime = 2 * time.Second

// stop ends the workers, then looks of the door that are under way.
func (w *work) stop() {
	w.end()
	w.looks.Wait()
	if w.workers != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		_ = w.workers.Stop(ctx) // its only error is that time is over
	}
	if w.door != nil {
		w.door.Close()
	}
}
