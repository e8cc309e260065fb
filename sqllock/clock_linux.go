package sqllock

import (
	"syscall"
	"time"
	"unsafe"
)

// now reads CLOCK_BOOTTIME (clock_gettime(2)), which unlike Go's monotonic clock goes on while the machine is suspended.
func now() time.Duration {
	const clockBoottime = 7
	var ts syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		panic("sqllock: CLOCK_BOOTTIME: " + errno.Error()) // in the kernel since 2.6.39
	}
	return time.Duration(ts.Nano())
}
