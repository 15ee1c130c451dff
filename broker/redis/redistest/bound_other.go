//go:build !linux

package redistest

import "syscall"

func bound() *syscall.SysProcAttr { return nil }
