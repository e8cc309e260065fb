package main

// sqlite.Table.
var sqliteDefects = []defect{
	{
		name: "sqlite/looks-before-the-write-lock",
		harm: "two processes that look at the same time are both granted the lock",
		file: "sqlite/store.go",
		old:  "\t\thopeful = hopeful || l.dead > 0 || l.admits(w)\n\t\treturn l.refusal(), nil\n",
		new: `		hopeful = false
		if l.dead == 0 && !l.admits(w) {
			return l.refusal(), nil
		}
		var o lease.Outcome
		err := s.durably(ctx, "acquire", func(t tx) (err error) {
			o, err = s.grant(t, b.Session, l, w)
			return err
		})
		return o, err
`,
		pkg: "./sqlite", run: "TestOfTwoWhoLookAtTheSameTimeOneIsGranted",
	},
	{
		name: "sqlite/expired-session-grants",
		harm: "an attempt of a session that has run out is granted, and nobody renews it",
		file: "sqlite/sql/current.sql",
		old:  "WHERE id = ?1 AND epoch = ?2 AND expires_at > CAST(unixepoch('subsec') * 1000 AS INTEGER))",
		new:  "WHERE id = ?1 AND epoch = ?2)",
		pkg:  "./sqlite", run: "TestRows/AttemptOfAnExpiredSessionGrantsNothing",
	},
	{
		name: "sqlite/late-attempt-grants",
		harm: "an attempt that was given up is carried out after its session has reconciled: a lock that nobody knows of",
		file: "sqlite/sql/current.sql",
		old:  "WHERE id = ?1 AND epoch = ?2 AND",
		new:  "WHERE id = ?1 AND ?2 IS NOT NULL AND",
		pkg:  "./sqlite", run: "TestRows/AttemptOfAnotherEpochGrantsNothing",
	},
	{
		name: "sqlite/renewal-resurrects",
		harm: "a process that was stopped past its TTL renews its lease although it has told its callers that the lock is lost",
		file: "sqlite/sql/renew.sql",
		old:  "WHERE id = ?1 AND expires_at > CAST(unixepoch('subsec') * 1000 AS INTEGER) RETURNING epoch",
		new:  "WHERE id = ?1 RETURNING epoch",
		pkg:  "./sqlite", run: "TestRows/RenewalOfAnExpiredSessionRenewsNothing",
	},
	{
		name: "sqlite/evicts-the-living",
		harm: "who wants a lock ends the session of its holder: two holders",
		file: "sqlite/sql/evict_sessions.sql",
		old:  "WHERE expires_at <= CAST(unixepoch('subsec') * 1000 AS INTEGER)\n   AND id IN",
		new:  "WHERE id IN",
		pkg:  "./sqlite", run: "TestRows/DeadReaderDoesNotTakeTheLivingAlong",
	},
	{
		name: "sqlite/eviction-ignores-at-least",
		harm: "a job that is to run once an hour runs again when its process dies",
		file: "sqlite/sql/evict_holders.sql",
		old:  "\n   AND coalesce(keep_until, 0) <= CAST(unixepoch('subsec') * 1000 AS INTEGER)",
		new:  "",
		pkg:  "./sqlite", run: "TestTable/(AtLeastOutlivesItsProcess|AtLeastOutlivesRelease)",
	},
	{
		name: "sqlite/release-ignores-at-least",
		harm: "a job that is to run once an hour runs again when it has ended",
		file: "sqlite/store.go",
		old:  `range []string{"keep", "delete"}`,
		new:  `range []string{"delete"}`,
		pkg:  "./sqlite", run: "TestTable/AtLeastOutlivesRelease",
	},
	{
		name: "sqlite/release-without-the-token",
		harm: "a holder that was forced out releases the lock of the next one",
		file: "sqlite/sql/delete.sql",
		old:  "WHERE resource = ?1 AND token = ?2",
		new:  "WHERE resource = ?1 AND token >= ?2",
		pkg:  "./sqlite", run: "TestTable/StaleHolderCannotTouchTheNext",
	},
	{
		name: "sqlite/guard-without-the-write-lock",
		harm: "the lock changes hands between the guard and the commit",
		file: "sqlite/sql/write_lock.sql",
		old:  "UPDATE sqllock_meta SET token_floor = token_floor",
		new:  "SELECT token_floor FROM sqllock_meta",
		pkg:  "./sqlite", run: "TestGuardKeepsTheLockThoughItsTransactionHasNotWritten",
	},
	{
		name: "sqlite/guard-without-the-holder",
		harm: "what a former holder writes under its guard is committed while the next one works",
		file: "sqlite/sql/guard.sql",
		old:  "WHERE h.resource = ?1 AND h.token = ?2 AND h.session = ?3 AND (NOT ?4 OR r.token = ?2))",
		new:  "WHERE h.resource = ?1 AND h.token >= ?2 AND ?3 IS NOT NULL AND ?4 IS NOT NULL)",
		pkg:  "./sqlite", run: "TestGuardOfAFormerHolderFailsWhileTheNextOneHolds",
	},
	{
		name: "sqlite/lock-tx-beside-a-lease",
		harm: "LockTx succeeds while another process holds the lease",
		file: "sqlite/tx.go",
		old:  "if l.held != (counts{}) {",
		new:  "if l.held.x < 0 {",
		pkg:  "./sqlite", run: "TestTable/LockTxExcludesLeasesAndLockTx",
	},
	{
		name: "sqlite/tokens-begin-anew",
		harm: "after a Purge old fencing tokens are given out again",
		file: "sqlite/sql/seed.sql",
		old:  "SELECT ?1, ?2, token_floor,",
		new:  "SELECT ?1, ?2, 0 * token_floor,",
		pkg:  "./sqlite", run: "TestTable/TokensGrowWhateverEndsALock",
	},
	{
		name: "sqlite/force-without-an-epoch",
		harm: "a lock that was taken by force is believed in by its holder",
		file: "sqlite/sql/force_tell.sql",
		old:  "SET epoch = epoch + 1",
		new:  "SET epoch = epoch",
		pkg:  "./sqlite", run: "TestTable/ForceReleaseIsSeenAsLoss",
	},
	{
		name: "sqlite/waiters-in-any-order",
		harm: "who came first is served last",
		file: "sqlite/sql/look.sql",
		old:  "AND (?3 = 0 OR o.id < ?3)) q",
		new:  "AND ?3 = 0) q",
		pkg:  "./sqlite", run: "TestTable/ProcessesAreServedInOrder",
	},
	{
		name: "sqlite/readers-beside-a-writer",
		harm: "a process reads while another one writes",
		file: "sqlite/look.go",
		old:  "return all.x+all.p == 0",
		new:  "return all.p == 0",
		pkg:  "./sqlite", run: "TestTable/ModesExcludeWhatTheyShould",
	},
	{
		name: "sqlite/permits-of-the-newcomer-count",
		harm: "a semaphore of three is one of five for who says so",
		file: "sqlite/look.go",
		old:  "limit = min(limit, l.permits)",
		new:  "limit = max(limit, l.permits)",
		pkg:  "./sqlite", run: "TestTable/SmallestNumberOfPermitsCounts",
	},
	{
		name: "sqlite/namespaces-share-names",
		harm: "two applications in one file lock each other out",
		file: "sqlite/sql/look.sql",
		old:  "r AS (SELECT id FROM sqllock_resources WHERE namespace = ?1 AND name = ?2)",
		new:  "r AS (SELECT id FROM sqllock_resources WHERE namespace >= '' AND ?1 IS NOT NULL AND name = ?2 ORDER BY id LIMIT 1)",
		pkg:  "./sqlite", run: "TestRows/NamespacesAreApart",
	},
}
