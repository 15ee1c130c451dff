package redistest

import "syscall"

// bound ends the server with the test's process, whatever that dies of.
func bound() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
