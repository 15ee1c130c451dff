package node

import (
	"context"
	"fmt"

	"gosper/edge/module"
)

// openChatLog begins to keep what is said, when the options ask for it: before anybody can say anything.
func (n *Node) openChatLog() error {
	if !n.options.ChatLog {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), repairTimeout)
	defer cancel()
	l, err := module.OpenChatLog(ctx, module.ChatLogOptions{Bus: n.bus, Log: n.logs, Age: n.options.ChatLogAge, Bytes: n.options.ChatLogBytes, Shared: n.state != nil, Slog: n.log})
	if err != nil {
		return fmt.Errorf("chat log: %w", err)
	}
	n.chatLog = l
	return n.stand("chatlog", l.Keep)
}
