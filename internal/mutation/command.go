package main

// The command line.
var commandDefects = []defect{
	{
		name: "command/started-without-the-lock",
		harm: "a sqllock that was stopped after the grant starts its command beside that of the next holder",
		file: "cmd/sqllock/supervise.go",
		old:  "\tif err := lock.Err(); err != nil { // we may",
		new:  "\tif err := lock.Err(); err != nil && len(command) == 0 { // we may",
		pkg:  "./cmd/sqllock", run: "TestCommandIsNotStartedWithoutTheLock",
	},
	{
		name: "command/outlives-the-lock",
		harm: "a command whose lock was taken away goes on",
		file: "cmd/sqllock/supervise.go",
		old:  "\t\t\tended = nil\n\t\t\tend(lock.Err())\n",
		new:  "\t\t\tended, lost = nil, true\n",
		pkg:  "./cmd/sqllock", run: "TestCommandIsEndedWhenTheLockIsTakenAway",
	},
	{
		name: "command/waits-for-who-reads-stderr",
		harm: "while nobody reads what sqllock says, a command that has lost its lock is watched no more, and sqllock does not end",
		file: "cmd/sqllock/messages.go",
		old:  "\tif m.idle == nil {\n\t\tm.idle = make(chan struct{})\n\t\tgo m.drain()\n\t}\n\treturn len(message), nil\n",
		new:  "\treturn m.file.Write(message)\n",
		pkg:  "./cmd/sqllock", run: "TestCommandIsEndedAfterALossAlthoughNobodyReadsStderr",
	},
	{
		name: "command/waits-for-the-end-of-the-lease",
		harm: "a command is told to end when its lease has ended, and not before",
		file: "cmd/sqllock/supervise.go",
		old:  "} else if left := time.Until(deadline) - h.killAfter; left > 0 {",
		new:  "} else if left := time.Until(deadline) + time.Hour; left > 0 {",
		pkg:  "./cmd/sqllock", run: "TestFrozenDatabaseEndsTheCommandBeforeTheLeaseEnds",
	},
	{
		name: "command/unreachable-is-conflict",
		harm: "a cron job is skipped silently while the database is down",
		file: "cmd/sqllock/exec.go",
		old:  "\tif err := locks.Ping(ctx); err != nil {\n\t\treturn nil, err\n\t}",
		new:  "\tif err := locks.Ping(ctx); err != nil {\n\t\treturn nil, &exitError{e.conflict, err}\n\t}",
		pkg:  "./cmd/sqllock", run: "TestDatabaseThatCannotBeReachedIs69",
	},
	{
		name: "command/environment-tells-the-password",
		harm: "every command sees the credentials of the database",
		file: "cmd/sqllock/supervise.go",
		old:  "return name == dsnVariable || ",
		new:  "return ",
		pkg:  "./cmd/sqllock", run: "TestCommandSeesTheLockAndNoneOfOurCredentials",
	},
	{
		name: "command/term-kills-only-the-leader",
		harm: "what a script has started goes on after the lock is lost",
		file: "cmd/sqllock/internal/child/supervision_unix.go",
		old:  "syscall.Kill(-",
		new:  "syscall.Kill(",
		pkg:  "./cmd/sqllock/internal/child", run: "TestTerminateKillsWhatOutlivesTheLeader",
	},
}
