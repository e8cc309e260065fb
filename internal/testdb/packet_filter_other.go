//go:build !linux

package testdb

import (
	"errors"
	"syscall"
)

var errNoFilter = errors.New("testdb: packets are dropped on Linux only")

func dropPackets(syscall.RawConn) error { return errNoFilter }

func passPackets(syscall.RawConn) error { return errNoFilter }
