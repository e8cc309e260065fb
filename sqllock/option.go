package sqllock

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"
)

// Option shapes one acquisition.
type Option interface{ applyRequest(*options) }

// ClientOption shapes a [Client].
type ClientOption interface{ applyClient(*config) }

// ClientOrCallOption is an option for both: given to [New] it is the default of every call.
type ClientOrCallOption interface {
	Option
	ClientOption
}

// The limits of what [TTL] and [AtLeast] accept.
const (
	DefaultTTL = 15 * time.Second
	MinTTL     = 50 * time.Millisecond
	MaxTTL     = 24 * time.Hour
)

type options struct {
	mode     Mode
	permits  int
	ttl      time.Duration
	hasTTL   bool // given for this call or this Client, not the default
	wait     time.Duration
	hasWait  bool
	atLeast  time.Duration
	metadata map[string]string
	err      error
}

type config struct {
	options
	owner  string
	clock  Clock
	rand   rand.Source
	logger *slog.Logger
	tracer Tracer
}

type requestOption func(*options)

func (f requestOption) applyRequest(o *options) { f(o) }

type clientOption func(*config)

func (f clientOption) applyClient(c *config) { f(c) }

type anyOption func(*options)

func (f anyOption) applyRequest(o *options) { f(o) }
func (f anyOption) applyClient(c *config)   { f(&c.options) }

// Shared asks for a reader's lock: any number of readers hold a name together, and no writer beside them.
func Shared() Option {
	return requestOption(func(o *options) { o.mode = ModeShared })
}

// Permits asks for one of n permits: a semaphore. Where holders disagree on n, the smallest n among them counts.
// Holders of permits exclude exclusive and shared holders of the same name.
func Permits(n int) Option {
	return requestOption(func(o *options) {
		o.mode, o.permits = ModePermit, n
		if n < 1 || n > 1<<20 {
			o.err = invalid("Permits(%d): the number is between 1 and %d", n, 1<<20)
		}
	})
}

// TTL is how long a lease outlives its last renewal; a third of it is the time between renewals. The default is
// [DefaultTTL]. A crashed holder's lock is free after at most this time, and a holder that cannot reach its database
// for about this time loses its locks. Each distinct TTL of a Client costs one more row and one more renewal, so use few.
// Session locks need no TTL and answer with [ErrUnsupported].
func TTL(d time.Duration) ClientOrCallOption {
	return anyOption(func(o *options) {
		o.ttl, o.hasTTL = d, true
		if d < MinTTL || d > MaxTTL {
			o.err = invalid("TTL(%v): the duration is between %v and %v", d, MinTTL, MaxTTL)
		}
	})
}

// with is a function of its own because what options change is allocated, and most calls have none.
func (o options) with(opts []Option) options {
	for _, opt := range opts {
		opt.applyRequest(&o)
	}
	return o
}

// Wait bounds how long Acquire, AcquireAll and Do wait, beside their context. When it has passed the error matches
// [ErrNotAcquired]. Wait(0) is a single attempt.
func Wait(d time.Duration) ClientOrCallOption {
	return anyOption(func(o *options) {
		o.wait, o.hasWait = d, true
		if d < 0 {
			o.err = invalid("Wait(%v): the duration is negative", d)
		}
	})
}

// AtLeast keeps others from the lock until d has passed since it was granted, although it is released or its holder dies
// before: "at most once per period" for machines whose clocks disagree. ForceRelease overrides it. Leases only.
func AtLeast(d time.Duration) Option {
	return requestOption(func(o *options) {
		o.atLeast = d
		if d < 0 || d > 366*24*time.Hour {
			o.err = invalid("AtLeast(%v): the duration is between 0 and a year", d)
		}
	})
}

// Metadata is stored with the lock and shown by [Client.Locks] and [Client.Leader]. The map must not change afterwards.
func Metadata(m map[string]string) ClientOrCallOption {
	return anyOption(func(o *options) {
		o.metadata = m
		if err := checkMetadata(m); err != nil {
			o.err = err
		}
	})
}

// MaxMetadata is how much [Metadata] holds, keys and values together, in bytes.
const MaxMetadata = 8 << 10

func checkMetadata(m map[string]string) error {
	size := 0
	for k, v := range m {
		if !validText(k) || !validText(v) {
			return invalid("the metadata %.32q: %.32q is not UTF-8 without U+0000", k, v)
		}
		size += len(k) + len(v)
	}
	if size > MaxMetadata {
		return invalid("the metadata has %d bytes, the limit is %d", size, MaxMetadata)
	}
	return nil
}

// Owner is how this Client names itself to people: in errors of others, in Locks. The default is host/process id.
// It plays no part in who owns a lock.
func Owner(name string) ClientOption { return clientOption(func(c *config) { c.owner = name }) }

// Logger gets what happens in the background: sessions lost and opened anew, renewals that failed. The default is silence.
func Logger(l *slog.Logger) ClientOption { return clientOption(func(c *config) { c.logger = l }) }

// WithTracer is told of every acquisition, release and loss.
func WithTracer(t Tracer) ClientOption { return clientOption(func(c *config) { c.tracer = t }) }

// traced tells whether anybody wants to know.
func (c *config) traced() bool {
	_, nop := c.tracer.(NopTracer)
	return !nop
}

// WithClock replaces [SystemClock], for tests.
func WithClock(clock Clock) ClientOption { return clientOption(func(c *config) { c.clock = clock }) }

// WithRand replaces the source of session ids and of jitter, for tests. It must be safe for concurrent use.
func WithRand(src rand.Source) ClientOption { return clientOption(func(c *config) { c.rand = src }) }

type globalRand struct{}

func (globalRand) Uint64() uint64 { return rand.Uint64() }

func newConfig(opts []ClientOption) config {
	c := config{clock: SystemClock, rand: globalRand{}, logger: slog.New(slog.DiscardHandler), tracer: NopTracer{}}
	c.ttl = DefaultTTL
	for _, o := range opts {
		o.applyClient(&c)
	}
	if c.owner == "" {
		c.owner = DefaultOwner()
	}
	return c
}

// DefaultOwner is how a Client names itself if [Owner] says nothing else: host/process id.
func DefaultOwner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}
