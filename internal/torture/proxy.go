//go:build linux

package torture

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	_ "github.com/Shopify/toxiproxy/v2/toxics" // what proxies can do
	"github.com/rs/zerolog"
)

// proxyEnv makes the test binary a process of proxies; its value is the JSON of where they listen and what is behind them.
const proxyEnv = "SQLLOCK_TORTURE_PROXY"

// route is what one proxy does.
type route struct{ Listen, Upstream string }

// proxyRequest asks for one change.
type proxyRequest struct {
	Way  int
	Do   string // proxyAdd, proxyRemove, proxyCut or proxyMend
	What string // the JSON of a toxic, or the name of one
}

const (
	proxyAdd    = "add"
	proxyRemove = "remove"
	proxyCut    = "cut"
	proxyMend   = "mend"
)

// runProxies serves in a process of its own, because toxiproxy leaves goroutines behind where a toxic is removed from a connection
// that has died, and so that it can die.
func runProxies(text string, in io.Reader, out io.Writer) error {
	var routes []route
	if err := json.Unmarshal([]byte(text), &routes); err != nil {
		return err
	}
	zerolog.SetGlobalLevel(zerolog.Disabled)
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	var ways []*toxiproxy.Proxy
	for i, r := range routes {
		way := toxiproxy.NewProxy(server, fmt.Sprint(i), r.Listen, r.Upstream)
		if err := way.Start(); err != nil {
			return err
		}
		routes[i].Listen = way.Listen
		ways = append(ways, way)
	}
	answers := json.NewEncoder(out)
	if err := answers.Encode(routes); err != nil {
		return err
	}
	requests := json.NewDecoder(in)
	for {
		var r proxyRequest
		if err := requests.Decode(&r); err != nil {
			return err // the test has ended
		}
		if err := answers.Encode(fmt.Sprint(r.do(ways[r.Way]))); err != nil {
			return err
		}
	}
}

func (r proxyRequest) do(way *toxiproxy.Proxy) error {
	switch r.Do {
	case proxyAdd:
		_, err := way.Toxics.AddToxicJson(strings.NewReader(r.What))
		return err
	case proxyRemove:
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return way.Toxics.RemoveToxic(ctx, r.What)
	case proxyCut:
		way.Stop()
		return nil
	default:
		return way.Start()
	}
}

// proxies is that process, as the test sees it.
type proxies struct {
	routes  []route
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *bufio.Reader
}

// start runs the process, the first time on free ports, later on the same.
func (p *proxies) start() error {
	text, err := json.Marshal(p.routes)
	if err != nil {
		return err
	}
	p.cmd = exec.CommandContext(context.Background(), os.Args[0]) // the bed ends it
	p.cmd.Env = append(os.Environ(), proxyEnv+"="+string(text))
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	p.answers = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return err
	}
	return p.answer(&p.routes)
}

func (p *proxies) answer(to any) error {
	line, err := p.answers.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, to)
	}
	if err != nil {
		return fmt.Errorf("torture: proxies: %w", err)
	}
	return nil
}

// ask changes one way. If that hangs, as it can where connections have died, all proxies die of it.
func (p *proxies) ask(r proxyRequest) error {
	late := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	if err := json.NewEncoder(p.in).Encode(r); err != nil {
		return fmt.Errorf("torture: proxies: %w", err)
	}
	var answer string
	if err := p.answer(&answer); err != nil {
		return err
	}
	if answer != fmt.Sprint(nil) {
		return errors.New("torture: proxies: " + answer)
	}
	return nil
}

// kill ends the process, and with it all connections.
func (p *proxies) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}
