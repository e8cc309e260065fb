package main

// mysql.Named.
var namedDefects = []defect{
	{
		name: "named/silence-is-contention",
		harm: "a server that does not answer looks like a lock that somebody else holds, and the job is skipped",
		file: "mysql/internal/named/attempt.go",
		old:  "return sqllock.Result{Err: fmt.Errorf(\"mysql: lock %q: the server has not answered: %w\", o.req.Name, err)}",
		new:  "return sqllock.Result{Err: &sqllock.HeldError{Name: o.req.Name, Cause: err}}",
		pkg:  "./mysql", run: "TestNamed/HungDatabaseEndsTheHolding",
	},
	{
		name: "named/silence-counted-from-the-answer",
		harm: "an answer that was long on its way makes the holder trust its session for longer than the server keeps it",
		file: "mysql/internal/named/flight.go",
		old:  "l.heard.Store(int64(b.sent))",
		new:  "l.heard.Store(int64(now))",
		pkg:  "./mysql", run: "TestNamedSilenceIsCountedFromTheSendingOfWhatWasAnswered",
	},
	{
		name: "named/late-answer-believed",
		harm: "a process that was stopped for long takes an old answer for a grant that still holds",
		file: "mysql/internal/named/flight.go",
		old:  "case l.err() != nil: // the answer",
		new:  "case l.err() != nil && l.id == 0: // the answer",
		pkg:  "./mysql", run: "TestNamedAnswerThatHasLainUnreadGrantsNothing",
	},
	{
		name: "named/holder-as-patient-as-the-server",
		harm: "the server ends a silent session, and gives its locks to others, before the holder gives it up",
		file: "mysql/internal/named/connector.go",
		old:  "return c.timeout * 8 / 15 }",
		new:  "return c.timeout * 16 / 15 }",
		pkg:  "./mysql", run: "TestNamedSilenceIsCountedFromTheSendingOfWhatWasAnswered",
	},
	{
		name: "named/stopped-process-never-ends",
		harm: "a process that is stopped keeps its locks for eight hours",
		file: "mysql/internal/named/connector.go",
		old:  `"SET SESSION wait_timeout=" + strconv.Itoa(int(c.timeout/time.Second))`,
		new:  `"SET SESSION wait_timeout=" + strconv.Itoa(int(c.timeout/time.Microsecond))`,
		pkg:  "./mysql", run: "TestNamedStoppedHolderFindsOutFirst",
	},
	{
		name: "named/freed-before-it-is-told",
		harm: "a lock that is taken by force is free for others before its holder is told",
		file: "mysql/internal/named/flight.go",
		old: `	for _, l := range box.losses {
		l.holder.Lost(l.reason)
	}
	for _, c := range box.closing {
		if !c.inUse {
			_ = c.link.conn.Close() // which says goodbye
		}
		_ = c.link.wire.Close()
	}
`,
		new: `	for _, c := range box.closing {
		if !c.inUse {
			_ = c.link.conn.Close() // which says goodbye
		}
		_ = c.link.wire.Close()
	}
	for _, l := range box.losses {
		l.holder.Lost(l.reason)
	}
`,
		pkg: "./mysql", run: "TestNamedHoldersAreToldBeforeTheirConnectionIsClosed",
	},
	{
		name: "named/loss-of-the-session-not-told",
		harm: "the session has ended, others hold the lock, and its holder believes in it",
		file: "mysql/internal/named/release.go",
		old:  "if h.ended.CompareAndSwap(nil, &reason) && !h.leaving {",
		new:  "if h.leaving && h.ended.CompareAndSwap(nil, &reason) {",
		pkg:  "./mysql", run: "TestNamedLockEndsWithItsOwnSessionOnly",
	},
	{
		name: "named/loss-of-others-told",
		harm: "the end of one connection is taken for the loss of what others hold",
		file: "mysql/internal/named/connection.go",
		old:  "if h := e.hold; h != nil && h.link == l {\n\t\t\t\ts.lose",
		new:  "if h := e.hold; h != nil {\n\t\t\t\ts.lose",
		pkg:  "./mysql", run: "TestNamedLockEndsWithItsOwnSessionOnly",
	},
	{
		name: "named/null-is-a-refusal",
		harm: "a statement that was killed may have taken the lock, which nobody then gives back",
		file: "mysql/internal/named/attempt.go",
		old:  "\t\ts.doubt(l, o, errNull)\n",
		new:  "\t\ts.conclude(o, nil, errNull)\n",
		pkg:  "./mysql/internal/named", run: "TestWhatIsInDoubtIsGivenUp",
	},
	{
		name: "named/error-leaves-no-doubt",
		harm: "a statement that failed may have taken the lock, which nobody then gives back",
		file: "mysql/internal/named/flight.go",
		old:  "case attempt, release, park, lift:\n\t\ts.doubt(l, o, err)",
		new:  "case attempt:\n\t\ts.conclude(o, nil, err)\n\tcase release, park, lift:\n\t\ts.doubt(l, o, err)",
		pkg:  "./mysql/internal/named", run: "TestWhatIsInDoubtIsGivenUp",
	},
	{
		name: "named/abandoned-grant-kept",
		harm: "a lock whose caller gave up is held by nobody, and free for nobody",
		file: "mysql/internal/named/park.go",
		old:  "\tcase len(e.waiters) == 0:\n\t\ts.doubt(l, o, nil)\n\t\treturn\n\t}\n\twaited :=",
		new:  "\tcase len(e.waiters) == 0:\n\t\ts.unparked(l, nil)\n\t\treturn\n\t}\n\twaited :=",
		pkg:  "./mysql/internal/named", run: "TestWhatIsInDoubtIsGivenUp",
	},
	{
		name: "named/abandoned-attempt-kept",
		harm: "a lock whose caller gave up is held by nobody, and free for nobody",
		file: "mysql/internal/named/attempt.go",
		old:  "\tcase h != nil && o.abandoned:\n\t\ts.giveBack(h)\n",
		new:  "",
		pkg:  "./mysql", run: "TestNamedGrantWhoseCallerHasLeftIsGivenBack",
	},
	{
		name: "named/aborts-nothing-after-the-same-batch-ended-it",
		harm: "those whose questions travelled with the one that ended the session wait for ever, or are answered as if it went on",
		file: "mysql/internal/named/flight.go",
		old:  "if !slices.Contains(s.links, l) { // one of the answers has ended it",
		new:  "if l.id == 0 { // one of the answers has ended it",
		pkg:  "./mysql/internal/named", run: "TestWhatTravelsWithTheEndOfASessionIsAborted",
	},
	{
		name: "named/torn-op-used-again",
		harm: "an answer that comes late is taken for that of another question",
		file: "mysql/internal/named/op.go",
		old:  "if awaited != nil || o.torn || !o.leads && !o.received {",
		new:  "if awaited != nil || !o.leads && !o.received {",
		pkg:  "./mysql/internal/named", run: "TestOpThatWasTornIsNotUsedAgain",
	},
	{
		name: "named/doubt-settled-after-the-next-attempt",
		harm: "what gives up a lock whose release was killed gives up the next grant instead: its holder believes in a lock that is free for others",
		file: "mysql/internal/named/flight.go",
		old:  "\t\tl.queue = slices.Insert(l.queue, 0, o)\n",
		new:  "\t\tl.queue = slices.Insert(l.queue, len(l.queue), o)\n",
		pkg:  "./mysql/internal/named", run: "TestWhatGivesUpAKeyInDoubtGoesBeforeTheNextAttempt",
	},
	{
		name: "named/attempt-waits-for-the-guard-of-others",
		harm: "TryAcquire takes as long as a transaction of a former holder, because somebody else waits for its end",
		file: "mysql/internal/named/attempt.go",
		old:  "if len(e.waiters) == 0 && (e.busy != nil || e.parked != nil) {",
		new:  "if e.busy != nil || e.parked != nil && len(e.waiters) == 0 {",
		pkg:  "./mysql/internal/named", run: "TestWhoDoesNotWaitIsRefusedAtOnceWhereOthersWaitForAGuard",
	},
	{
		name: "named/connection-not-spared-after-it-landed",
		harm: "a connection on which nothing happens any more is neither used again nor closed",
		file: "mysql/internal/named/flight.go",
		old:  "\ts.spareOrKeep(l)\n\tif n := len(s.finished)",
		new:  "\tif n := len(s.finished)",
		pkg:  "./mysql/internal/named", run: "TestConnectionIsSparedWhenItsLastAnswerHasLanded",
	},
	{
		name: "named/another-session-not-noticed",
		harm: "behind a proxy that shares connections two clients hold one lock",
		file: "mysql/internal/named/flight.go",
		old:  "\t\tif o.code != '1' {\n\t\t\ts.end(l, errAnother)\n\t\t\treturn\n\t\t}\n",
		new:  "",
		pkg:  "./mysql/internal/named", run: "TestWhatTravelsWithTheEndOfASessionIsAborted",
	},
	{
		name: "named/one-process-granted-twice",
		harm: "the server grants a connection what it holds already: two goroutines hold the lock",
		file: "mysql/internal/named/attempt.go",
		old:  "case e.hold != nil && e.hold.Err() == nil:",
		new:  "case e.hold != nil && e.hold.Err() != nil:",
		pkg:  "./mysql/internal/named", run: "TestWhatASessionHoldsIsNotAskedForAgain",
	},
	{
		name: "named/release-after-the-session-succeeds",
		harm: "who worked without the lock is told that all went well",
		file: "mysql/internal/named/connection.go",
		old:  "s.finish(o, fmt.Errorf(\"mysql: release: %w: %w\", errGone, err))",
		new:  "s.finish(o, nil)",
		pkg:  "./mysql", run: "TestNamedReleaseWhoseAnswerIsLostIsNoSuccess",
	},
	{
		name: "named/outage-is-contention",
		harm: "a server that cannot be reached looks like a lock that somebody else holds",
		file: "mysql/internal/named/waiter.go",
		old:  "\t\t\terr := w.failed\n\t\t\tif err == nil {",
		new:  "\t\t\terr := w.failed\n\t\t\tif err == nil || !w.ended {",
		pkg:  "./mysql", run: "TestNamedOutageIsNotContention",
	},
	{
		name: "named/databases-share-keys",
		harm: "two databases of one server lock each other out",
		file: "mysql/internal/named/key.go",
		old:  "salt := strings.ToLower(database) + \"\\x00\" + namespace",
		new:  "salt := strings.ToLower(database[:0]) + \"\\x00\" + namespace",
		pkg:  "./mysql", run: "TestNamedKeysAreFrozen",
	},
	{
		name: "named/galera-accepted",
		harm: "processes on two nodes of a cluster hold one lock",
		file: "mysql/internal/named/connector.go",
		old:  `if variables["wsrep_on"] == "ON" {`,
		new:  `if variables["wsrep_on"] == "YES" {`,
		pkg:  "./mysql/internal/named", run: "TestServersOfWhichThereAreSeveralAreRefused",
	},
	{
		name: "named/token-of-an-ended-session",
		harm: "a session that has ended is given a token that is larger than that of its successor",
		file: "mysql/named_ledger.go",
		old:  "case !held[i].Bool:",
		new:  "case !held[i].Bool && k.Key == \"\":",
		pkg:  "./mysql", run: "TestTokenOfAnAttemptThatFailedIsForgotten",
	},
	{
		name: "named/token-waits-for-no-guard",
		harm: "one guarded transaction has every token of the process wait",
		file: "mysql/named_ledger.go",
		old:  "FOR UPDATE SKIP LOCKED; ",
		new:  "FOR UPDATE; ",
		pkg:  "./mysql", run: "TestNamedGuardOutlivesItsSession",
	},
	{
		name: "named/guard-without-a-row-lock",
		harm: "the lock changes hands between the guard and the commit",
		file: "mysql/named_guard.go",
		old:  ` WHERE lock_key = ? LOCK IN SHARE MODE",`,
		new:  ` WHERE lock_key = ?",`,
		pkg:  "./mysql", run: "TestNamedGuardOutlivesItsSession",
	},
	{
		name: "named/guard-of-a-dead-session",
		harm: "what a former holder writes under its guard is committed while the next one works",
		file: "mysql/named_guard.go",
		old:  "case token != lock.Token(), !held.Bool:",
		new:  "case token != lock.Token():",
		pkg:  "./mysql", run: "TestNamedGuardFailsThoughTheHolderDoesNotKnowThatItsSessionHasEnded",
	},
	{
		name: "named/unlock-before-commit",
		harm: "the next holder reads what was there before the commit of the last one",
		file: "mysql/named_tx.go",
		old:  "\tif err := tx.Commit(); err != nil {",
		new:  "\t_, _ = tx.ExecContext(ctx, \"DO RELEASE_ALL_LOCKS()\")\n\tif err := tx.Commit(); err != nil {",
		pkg:  "./mysql", run: "TestNamedWithTxCommitsBeforeItReleases",
	},
	{
		name: "named/dead-leader-still-leads",
		harm: "followers are sent to a leader that has died",
		file: "mysql/named_leader.go",
		old:  "WHERE lock_key = ? AND IS_USED_LOCK(?) = IS_USED_LOCK(term)",
		new:  "WHERE lock_key = ? AND IS_USED_LOCK(?) IS NOT NULL",
		pkg:  "./mysql", run: "TestNamedWithTokens/FormerLeaderIsForgotten",
	},
}
