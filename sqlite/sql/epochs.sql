SELECT id, epoch FROM sqllock_sessions
