package post

import (
	"errors"
	"syscall"
)

// full says whether a disk, or the quota of its owner, has no room.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
