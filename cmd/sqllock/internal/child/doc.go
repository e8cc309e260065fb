// Package child runs one command under supervision, so that the command does not outlive the reason it was started for.
// It is the half of sqllock exec that knows processes; it knows nothing about locks or SQL.
//
// # The processes
//
//	supervisor ──fork──▶ leader ──fork──▶ …        the leader's process group, "the group"
//	     └──────fork──▶ watchdog                   a session of its own
//
// The supervisor is the process that called [Start]. The leader is the command; it leads a process group of its own,
// and whatever it forks belongs to that group unless it leaves it on purpose (setsid, setpgid: a daemon, or the jobs of
// an interactive shell). Signals go to the group. Who has left it is out of reach.
//
// The watchdog (Linux only) is this executable once more, see [RunWatchdogIfAsked]. It reads from a pipe of which the
// supervisor has the only writing end.
//
// # Who believes what
//
// The leader ends: the supervisor sees a zombie and does not reap it yet. A zombie keeps its process group's number
// from being given to anybody else, so everything that names the group happens first: what is left of the group is
// killed if [Child.Terminate] was called, the terminal is taken back, the watchdog is dismissed. Then the leader is
// reaped; from there on nobody sends anything to that number. Without Terminate, processes that the leader left behind
// are left alone, as by a shell.
//
// The supervisor dies, by SIGKILL too: the kernel closes its end of the pipe, the watchdog reads end-of-file and sends
// SIGKILL to the group. The leader has a parent-death signal (PDEATHSIG) besides, which is a little faster, and covers
// the moment between the fork and the watchdog's learning the group's number. It reaches the leader alone and a
// set-user-ID program clears it, hence the watchdog. In that moment, some microseconds long, a process that the leader
// has already forked would be missed. The watchdog is ready before the command is started; a command never runs without
// it.
//
// The watchdog dies: nothing happens. Dismissing it is killing it, so its death carries no message that could be
// misread, and a watchdog that somebody has stopped can be dismissed as well. The leader's parent-death signal remains.
// It ignores TERM, INT, HUP and QUIT, so it takes a deliberate SIGKILL to get there.
//
// Supervisor and leader die together: the watchdog kills what is left of the group. The number could have been reused
// only if the group was empty and the kernel went once around all process numbers before the watchdog read the
// end-of-file.
//
// A program that changed its user ID may be beyond our permission to signal; neither mechanism can help that.
//
// # The terminal
//
// Only the foreground process group may read from a terminal; anybody else is stopped by SIGTTIN. So a command started
// in the foreground gets the terminal before it runs and we take it back when it ended. In a pipeline (stdout is a
// pipe) the terminal stays with our group, because another member may be the one that needs it (… | less); there, and
// when a background job is brought to the foreground, the command gets the terminal when it is stopped for wanting it.
//
// When the leader is stopped from the terminal (^Z), the terminal goes back to our group, and our group stops too, so
// that the shell sees its job stopped. After fg or bg, [Command.Resume] decides whether the leader may go on. Whether a
// stopped holder still has its lock is for the database to say: nobody renews a lease meanwhile. A supervisor that
// alone is stopped (SIGSTOP) cannot stop its command, which works on without anybody watching the lock.
//
// To see ^Z while our own group has the terminal, SIGTSTP is caught; a Go process that has once caught it is not
// stopped by it any more, after the command's end either.
//
// # Other systems
//
// Other Unix systems get neither parent-death signal nor watchdog: if the supervisor is killed, the command lives
// on. They also reap the leader a moment before the group is killed for the last time. Windows has no process groups
// here: Terminate and Signal kill the one process, and its descendants live on.
package child
