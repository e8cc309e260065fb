package main

// postgres.Advisory.
var advisoryDefects = []defect{
	{
		name: "advisory/silence-is-contention",
		harm: "a server that does not answer looks like a lock that somebody else holds, and the job is skipped",
		file: "postgres/internal/advisory/attempt.go",
		old:  "case err != nil && o.deferred:",
		new:  "case err != nil:",
		pkg:  "./postgres", run: "TestAdvisory/HungDatabaseEndsTheHolding",
	},
	{
		name: "advisory/release-tells-nobody",
		harm: "a waiter learns of a release by its next poll only",
		file: "postgres/internal/advisory/sql/unlock.sql",
		old:  "WHEN pg_notify('sqllock', 'x' || $1) IS NOT NULL THEN 1",
		new:  "ELSE 1",
		pkg:  "./postgres", run: "TestAdvisoryReleaseWakesAWaiterThatSleeps", hangs: true,
	},
	{
		name: "advisory/tries-before-it-enlists",
		harm: "a release between the attempt and the enlisting wakes nobody: the waiter sleeps although the lock is free",
		file: "postgres/internal/advisory/flight.go",
		old:  "\tb.add(changing, \"enlist\", enlists...)\n\tb.addOneOrMany(\"lock\", locks)\n",
		new:  "\tb.addOneOrMany(\"lock\", locks)\n\tb.add(changing, \"enlist\", enlists...)\n",
		pkg:  "./postgres/internal/advisory", run: "TestEnlistingComesBeforeTheAttemptAndReleasesBeforeBoth",
	},
	{
		name: "advisory/new-session-is-not-enlisted",
		harm: "after a reconnect a release wakes nobody who waits",
		file: "postgres/internal/advisory/connection.go",
		old:  "e.line.enlisted, e.line.intent, e.line.after = false, false, 0",
		new:  "e.line.intent, e.line.after = false, 0",
		pkg:  "./postgres", run: "TestAdvisoryWaiterOutlivesItsSession", hangs: true,
	},
	{
		name: "advisory/no-try-after-reconnecting",
		harm: "what was released while there was no connection is not tried for before the next poll",
		file: "postgres/internal/advisory/connection.go",
		old:  "\tfor _, e := range s.entries {\n\t\ts.wake(e, false)\n\t}\n",
		new:  "",
		pkg:  "./postgres", run: "TestAdvisoryWaiterOutlivesItsSession", hangs: true,
	},
	{
		name: "advisory/loss-of-the-session-not-told",
		harm: "the session has ended, others hold the lock, and its holder believes in it until the clock says otherwise",
		file: "postgres/internal/advisory/connection.go",
		old:  "\t\t\t\ts.losses = append(s.losses, loss{h.req.Holder, reason})\n\t\t\t}\n\t\t\th.ended.CompareAndSwap(nil, &reason)\n\t\t}\n\t\te.holds, e.count = nil, 0",
		new:  "\t\t\t\ts.losses = append(s.losses[:0], loss{h.req.Holder, reason})\n\t\t\t}\n\t\t}\n\t\te.holds, e.count = nil, 0",
		pkg:  "./postgres", run: "TestAdvisoryHolderIsToldWhyItsSessionEnded",
	},
	{
		name: "advisory/closed-before-it-is-told",
		harm: "after silence the lock is free for others before its holder is told",
		file: "postgres/internal/advisory/link.go",
		old:  "\ts.broken(l, *l.dead.Load())\n\t_ = l.conn.Close()\n",
		new:  "\t_ = l.conn.Close()\n\ts.broken(l, *l.dead.Load())\n",
		pkg:  "./postgres", run: "TestAdvisoryHoldersAreToldBeforeTheirConnectionIsClosed",
	},
	{
		name: "advisory/freed-before-it-is-told",
		harm: "a lock that is taken by force is free for others before its holder is told",
		file: "postgres/internal/advisory/outbox.go",
		old: `	for _, l := range o.losses {
		l.holder.Lost(l.reason)
	}
	if o.batch != nil {
		o.batch.link.send(o.batch)
	}
`,
		new: `	if o.batch != nil {
		o.batch.link.send(o.batch)
	}
	for _, l := range o.losses {
		l.holder.Lost(l.reason)
	}
`,
		pkg: "./postgres/internal/advisory", run: "TestHoldersAreToldBeforeTheServerIs",
	},
	{
		name: "advisory/silence-counted-from-the-answer",
		harm: "an answer that was long on its way makes the holder trust its session for longer than the server keeps it",
		file: "postgres/internal/advisory/link.go",
		old:  "l.answered.Store(int64(b.sent))",
		new:  "l.answered.Store(int64(now))",
		pkg:  "./postgres", run: "TestAdvisorySilenceIsCountedFromTheSendingOfWhatWasAnswered",
	},
	{
		name: "advisory/late-answer-believed",
		harm: "a process that was stopped for long takes an old answer for a sign that its session lives",
		file: "postgres/internal/advisory/link.go",
		old:  "if now-time.Duration(l.answered.Load()) >= l.limit {",
		new:  "if now < 0 {",
		pkg:  "./postgres", run: "TestAdvisoryAnswerThatHasLainUnreadGrantsNothing",
	},
	{
		name: "advisory/holder-as-patient-as-the-server",
		harm: "the server ends a silent session, and gives its locks to others, before the holder gives it up",
		file: "postgres/internal/advisory/connector.go",
		old:  "return c.Timeout * 8 / 15 }",
		new:  "return c.Timeout * 16 / 15 }",
		pkg:  "./postgres", run: "TestAdvisorySilenceIsCountedFromTheSendingOfWhatWasAnswered",
	},
	{
		name: "advisory/stopped-process-never-ends",
		harm: "a process that is stopped keeps its locks for ever",
		file: "postgres/internal/advisory/sql/settings.sql",
		old:  "('idle_session_timeout', $1), ",
		new:  "('idle_session_timeout', '0'), ",
		pkg:  "./postgres", run: "TestAdvisoryStoppedHolderFindsOutFirst",
	},
	{
		name: "advisory/abandoned-grant-kept",
		harm: "a lock whose caller gave up is held by nobody, and free for nobody",
		file: "postgres/internal/advisory/attempt.go",
		old:  "if o.abandoned && h != nil {",
		new:  "if o.abandoned && h != nil && o.req.Name == \"\" {",
		pkg:  "./postgres", run: "TestAdvisoryCancelledAcquireLeavesNoLock",
	},
	{
		name: "advisory/failed-statement-leaves-no-doubt",
		harm: "a statement that fails in the middle leaves locks behind that nobody knows of",
		file: "postgres/internal/advisory/turn.go",
		old:  "\tif o.failure != nil {\n\t\ts.check.want()\n\t} else if",
		new:  "\tif o.failure != nil {\n\t\ts.check.failed = 0\n\t} else if",
		pkg:  "./postgres", run: "TestAdvisoryFullLockTableLeaksNothing",
	},
	{
		name: "advisory/missing-lock-not-noticed",
		harm: "what the server has taken from a session is believed to be held",
		file: "postgres/internal/advisory/check.go",
		old:  "\t\tif !c.found[e] {\n\t\t\treturn sqllock.ErrEvicted\n\t\t}",
		new:  "\t\tif !c.found[e] && e.key == 0 {\n\t\t\treturn sqllock.ErrEvicted\n\t\t}",
		pkg:  "./postgres/internal/advisory", run: "TestSessionThatMissesALockIsGivenUp",
	},
	{
		name: "advisory/one-process-granted-twice",
		harm: "the server grants a session what it holds already: two goroutines hold the lock",
		file: "postgres/internal/advisory/attempt.go",
		old:  "case !e.admits(o.req):",
		new:  "case !e.admits(o.req) && e.key == 0:",
		pkg:  "./postgres", run: "TestAdvisoryAttemptsOfOneProcessExcludeEachOther",
	},
	{
		name: "advisory/grant-beside-a-guarded-transaction",
		harm: "the next holder works before what the last one guarded is committed",
		file: "postgres/internal/advisory/sql/lock.sql",
		old:  "CASE WHEN pg_try_advisory_lock($2, $3) THEN\n                CASE WHEN pg_advisory_unlock($2, $3) THEN nextval('public.sqllock_token') END\n              WHEN pg_advisory_unlock($1) THEN -1\n         END",
		new:  "CASE WHEN $2::int IS NOT NULL OR $3::int IS NULL THEN nextval('public.sqllock_token') END",
		pkg:  "./postgres", run: "TestAdvisoryGuardOutlivesItsSession",
	},
	{
		name: "advisory/guard-of-a-dead-session",
		harm: "what a former holder writes under its guard is committed while the next one works",
		file: "postgres/sql/advisory_guard.sql",
		old:  "NOT pg_try_advisory_xact_lock_shared($7::int, $8::int)\n             AND EXISTS",
		new:  "pg_try_advisory_xact_lock_shared($7::int, $8::int) IS NOT NULL\n             OR EXISTS",
		pkg:  "./postgres", run: "TestAdvisoryGuardFailsThoughTheHolderDoesNotKnowThatItsSessionHasEnded",
	},
	{
		name: "advisory/guard-asks-before-it-locks",
		harm: "a session that ends between the two is guarded although the next holder may work already",
		file: "postgres/sql/advisory_guard.sql",
		old: `SELECT CASE WHEN pg_advisory_xact_lock_shared($1::int, $2::int) IS NOT NULL THEN
         CASE WHEN pg_advisory_xact_lock_shared($3::int, $4::int) IS NOT NULL THEN
           CASE WHEN pg_advisory_xact_lock_shared($5::int, $6::int) IS NOT NULL THEN
             NOT pg_try_advisory_xact_lock_shared($7::int, $8::int)
             AND EXISTS (SELECT FROM pg_locks
                          WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid = $9::int
                            AND classid = (($10::bigint >> 32) & 4294967295)::oid AND objid = ($10::bigint & 4294967295)::oid)
           END
         END
       END`,
		new: `SELECT CASE WHEN NOT pg_try_advisory_xact_lock_shared($7::int, $8::int)
             AND EXISTS (SELECT FROM pg_locks
                          WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid = $9::int
                            AND classid = (($10::bigint >> 32) & 4294967295)::oid AND objid = ($10::bigint & 4294967295)::oid)
         THEN
         CASE WHEN pg_advisory_xact_lock_shared($1::int, $2::int) IS NOT NULL THEN
           CASE WHEN pg_advisory_xact_lock_shared($3::int, $4::int) IS NOT NULL THEN
             pg_advisory_xact_lock_shared($5::int, $6::int) IS NOT NULL
           END
         END
         ELSE false
       END`,
		pkg: "./postgres", run: "TestAdvisoryGuardThatHasWaitedLooksThen",
	},
	{
		name: "advisory/readers-beside-permits",
		harm: "a reader and a holder of a permit work at the same time",
		file: "postgres/internal/advisory/sql/share.sql",
		old:  "CASE WHEN pg_try_advisory_lock(b1, b2 # 1) THEN\n                         CASE WHEN pg_advisory_unlock(b1, b2 # 1) THEN nextval('public.sqllock_token') END",
		new:  "CASE WHEN true THEN nextval('public.sqllock_token')",
		pkg:  "./postgres", run: "TestAdvisory/ModesExcludeWhatTheyShould",
	},
	{
		name: "advisory/readers-do-not-yield",
		harm: "readers that overlap keep a writer out for ever",
		file: "postgres/internal/advisory/sql/share.sql",
		old:  "WHEN yields AND NOT CASE",
		new:  "WHEN yields AND false AND NOT CASE",
		pkg:  "./postgres", run: "TestAdvisoryWriterGetsInBetweenReaders",
	},
	{
		name: "advisory/first-reader-frees-for-all",
		harm: "a process whose first reader is done lets a writer in beside its second",
		file: "postgres/internal/advisory/turn.go",
		old:  "if o.last = e.count == 1; !o.last && e.mode == sqllock.ModeShared {",
		new:  "if o.last = e.count == 1; !o.last && e.mode == sqllock.ModeExclusive {",
		pkg:  "./postgres", run: "TestAdvisory/ModesExcludeWhatTheyShould",
	},
	{
		name: "advisory/namespaces-share-keys",
		harm: "two applications in one database lock each other out",
		file: "postgres/internal/advisory/key.go",
		old:  "append(append(append(room[:0], namespace...), 0), name...)",
		new:  "append(append(append(room[:0], namespace[:0]...), 0), name...)",
		pkg:  "./postgres/internal/advisory", run: "TestKeysAreFrozen",
	},
	{
		name: "advisory/pooler-accepted",
		harm: "behind a pooler that shares its connections two clients hold one lock",
		file: "postgres/internal/advisory/connector.go",
		old:  "if theirs == pid || ours != pid {",
		new:  "if theirs == pid && ours != pid {",
		pkg:  "./postgres", run: "TestAdvisoryRefusesSharedServerConnections",
	},
	{
		name: "advisory/standby-accepted",
		harm: "locks of a standby exclude nobody on the primary",
		file: "postgres/internal/advisory/connector.go",
		old:  `case string(row[2]) == "t":`,
		new:  `case string(row[2]) == "":`,
		pkg:  "./postgres", run: "TestAdvisoryRefusesAStandby",
	},
	{
		name: "advisory/tokens-go-back-with-the-sequence",
		harm: "after a crash fencing tokens are given out again",
		file: "postgres/internal/advisory/connector.go",
		old:  "const tokenGap = 1 << 28",
		new:  "const tokenGap = 0",
		pkg:  "./postgres", run: "TestAdvisoryTokensGrowThoughACrashTakesTheSequenceBack",
	},
	{
		name: "advisory/token-given-twice",
		harm: "holders of names that were acquired together have the same token",
		file: "postgres/internal/advisory/sql/lock_many.sql",
		old:  "SELECT CASE WHEN pg_try_advisory_lock(k) THEN\n         CASE WHEN pg_try_advisory_lock(b1, b2) THEN\n                CASE WHEN pg_advisory_unlock(b1, b2) THEN nextval('public.sqllock_token') END",
		new:  "SELECT CASE WHEN pg_try_advisory_lock(k) THEN\n         CASE WHEN pg_try_advisory_lock(b1, b2) THEN\n                CASE WHEN pg_advisory_unlock(b1, b2) THEN 2 + 0 * nextval('public.sqllock_token') END",
		pkg:  "./postgres", run: "TestAdvisoryTokensGrow",
	},
	{
		name: "advisory/limit-not-kept",
		harm: "one process fills the server's lock table, and everybody's statements fail",
		file: "postgres/internal/advisory/attempt.go",
		old:  "case s.locks+cost(o.req.Mode, e.count+1)-cost(o.req.Mode, e.count) > s.cfg.MaxLocks:",
		new:  "case s.locks+cost(o.req.Mode, e.count+1)-cost(o.req.Mode, e.count) > 1000*s.cfg.MaxLocks:",
		pkg:  "./postgres", run: "TestAdvisoryMaxLocksBoundsOneClient",
	},
	{
		name: "advisory/limit-forgets-releases",
		harm: "after a while a process gets no more locks, though it holds none",
		file: "postgres/internal/advisory/release.go",
		old:  "s.locks -= cost(e.mode, e.count) - cost(e.mode, e.count-1)",
		new:  "s.locks -= 0 * cost(e.mode, e.count)",
		pkg:  "./postgres", run: "TestAdvisoryMaxLocksBoundsOneClient",
	},
	{
		name: "advisory/outage-is-contention",
		harm: "a server that cannot be reached looks like a lock that somebody else holds",
		file: "postgres/internal/advisory/waiter.go",
		old:  "\t\t\terr := w.failed\n\t\t\tif err == nil {",
		new:  "\t\t\terr := w.failed\n\t\t\tif err == nil || w.ended == false {",
		pkg:  "./postgres", run: "TestAdvisoryOutageIsNotContention",
	},
	{
		name: "advisory/release-after-the-session-succeeds",
		harm: "who worked without the lock is told that all went well",
		file: "postgres/internal/advisory/connection.go",
		old:  "s.finish(o, fmt.Errorf(\"postgres: release: the session has ended, and the lock with it: %w\", err))",
		new:  "s.finish(o, nil)",
		pkg:  "./postgres", run: "TestAdvisoryReleaseWhoseAnswerIsLostIsNoSuccess",
	},
	{
		name: "advisory/dead-leader-still-leads",
		harm: "followers are sent to a leader that has died",
		file: "postgres/sql/advisory_leader.sql",
		old:  "WHERE h.objsubid = 2 AND h.pid = p.pid\n                  AND h.classid = ((p.nonce >> 32) & 4294967295)::oid AND h.objid = (p.nonce & 4294967295)::oid)",
		new:  "WHERE h.objsubid = 2)",
		pkg:  "./postgres", run: "TestAdvisory/FormerLeaderIsForgotten",
	},
	{
		name: "advisory/lock-tx-with-an-older-snapshot",
		harm: "a transaction reads what was there before the commit of the last holder",
		file: "postgres/tx.go",
		old:  `if isolation != "read committed" && isolation`,
		new:  `if isolation == "" && isolation`,
		pkg:  "./postgres", run: "TestAdvisoryLockTxRefusesOlderSnapshots",
	},
	{
		name: "advisory/force-waits-for-no-guard",
		harm: "a lock is taken by force in the middle of a guarded transaction",
		file: "postgres/internal/advisory/force.go",
		old:  "if e.count > 0 && (o.err != nil || o.code == 0) {",
		new:  "if e.count > 0 && o.err != nil {",
		pkg:  "./postgres", run: "TestAdvisoryForceReleaseWaitsForGuardedTransactions",
	},
	{
		name: "advisory/torn-op-used-again",
		harm: "an answer that is decoded after its session has ended brings the process down, or is taken for that of another question",
		file: "postgres/internal/advisory/op.go",
		old:  "if awaited != nil || o.timed || o.torn || !o.leads && !o.received {",
		new:  "if awaited != nil || o.timed || !o.leads && !o.received {",
		pkg:  "./postgres/internal/advisory", run: "TestOpWhoseAnswerMayBeDecodedAfterTheEndIsNotUsedAgain",
	},
	{
		name: "advisory/list-decoded-into-nothing",
		harm: "a session that ends while it compares what it holds brings the process down",
		file: "postgres/internal/advisory/check.go",
		old:  "\t\tfound[server{truth(values[0])",
		new:  "\t\tc.found[server{truth(values[0])",
		pkg:  "./postgres/internal/advisory", run: "TestListOfLocksMayBeDecodedAfterTheEnd",
	},
	{
		name: "advisory/two-read-at-once",
		harm: "two goroutines share one decoder when a session ends: a crash, or an answer that nobody gave",
		file: "postgres/internal/advisory/link.go",
		old:  "reading = s.claim(l)",
		new:  "reading = l.dead.Load() != nil || s.claim(l)",
		pkg:  "./postgres/internal/advisory", run: "TestOneReadsAtATimeThoughTheEndIsKnown",
	},
	{
		name: "advisory/impatient-beginning",
		harm: "after a fail-over, when all begin at once, attempts fail with a lock timeout",
		file: "postgres/internal/advisory/sql/settings.sql",
		old:  "('lock_timeout', '0'), ",
		new:  "('lock_timeout', '1s'),",
		pkg:  "./postgres", run: "TestAdvisorySessionsThatBeginWaitForEachOther",
	},
	{
		name: "advisory/silence-counted-from-before-the-queue",
		harm: "a session that had to wait for others when it began is given up at once",
		file: "postgres/internal/advisory/connector.go",
		old:  "\tl.answered.Store(int64(l.clock.Now())) // no sooner",
		new:  "\tl.answered.Store(int64(l.clock.Now() - c.limit())) // no sooner",
		pkg:  "./postgres", run: "TestAdvisorySessionsThatBeginWaitForEachOther",
	},
	{
		name: "advisory/terminated-before-it-is-lost",
		harm: "who was granted a lock while its Client closed believes in it when others have it",
		file: "postgres/internal/advisory/connection.go",
		old:  "\tl.dead.CompareAndSwap(nil, &closed)\n",
		new:  "\t_ = &closed\n",
		pkg:  "./postgres/internal/advisory", run: "TestSessionIsDeadBeforeTheServerHearsOfIt",
	},
}
