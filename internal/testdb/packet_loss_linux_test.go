package testdb

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestWhatIsDroppedNeitherArrivesNorIsAcknowledged(t *testing.T) {
	t.Parallel()
	client, peer := tcpPair(t)
	restore, err := DropIncoming(client)
	require.NoError(t, err)

	write(t, peer, "lost")

	assertLost(t, client, peer, len("lost"))
	require.NoError(t, restore())
	assert.Equal(t, "lost", read(t, client, 4))
	assert.Eventually(t, func() bool { return unacknowledged(t, peer) == 0 }, startTimeout, poll)
	require.NoError(t, restore(), "once more is nothing")
}

func TestWhatASilencedConnectionWritesStillArrives(t *testing.T) {
	t.Parallel()
	client, peer := tcpPair(t)
	_, err := DropIncoming(client)
	require.NoError(t, err)

	write(t, client, "heard")

	assert.Equal(t, "heard", read(t, peer, 5))
}

func TestPeerThatClosesIsNotNoticed(t *testing.T) {
	t.Parallel()
	client, peer := tcpPair(t)
	restore, err := DropIncoming(client)
	require.NoError(t, err)

	require.NoError(t, peer.Close())

	assertSilent(t, client)
	require.NoError(t, restore())
	_, err = client.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

func TestConnectionBelowTLSIsSilencedToo(t *testing.T) {
	t.Parallel()
	client, peer := tcpPair(t)
	_, err := DropIncoming(tls.Client(client, &tls.Config{ServerName: "anybody"}))
	require.NoError(t, err)

	write(t, peer, "lost")

	assertLost(t, client, peer, len("lost"))
}

func TestOnlyOpenTCPConnectionsCanBeSilenced(t *testing.T) {
	t.Parallel()
	client, _ := tcpPair(t)
	restore, err := DropIncoming(client)
	require.NoError(t, err)
	require.NoError(t, client.Close())
	require.NoError(t, restore(), "nothing is left to be restored")

	_, err = DropIncoming(client)
	require.ErrorIs(t, err, net.ErrClosed)

	one, two := net.Pipe()
	defer one.Close()
	defer two.Close()
	_, err = DropIncoming(one)
	require.ErrorContains(t, err, "no TCP connection")
}

// tcpPair returns the two ends of a connection.
func tcpPair(t *testing.T) (client, peer net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	client, err = net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client, accept(t, listener)
}

func accept(t *testing.T, listener net.Listener) net.Conn {
	t.Helper()
	peer, err := listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = peer.Close() })
	return peer
}

func write(t *testing.T, conn net.Conn, s string) {
	t.Helper()
	_, err := io.WriteString(conn, s)
	require.NoError(t, err)
}

func read(t *testing.T, conn net.Conn, n int) string {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(startTimeout)))
	b := make([]byte, n)
	_, err := io.ReadFull(conn, b)
	require.NoError(t, err)
	return string(b)
}

// assertLost shows that the n bytes that peer has just written are lost: peer has
// sent them at least twice, has no acknowledgement and knows of no error.
func assertLost(t *testing.T, client, peer net.Conn, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return tcpInfo(t, peer).Total_retrans > 0 }, startTimeout, poll)
	assertSilent(t, client)
	assert.Equal(t, n, unacknowledged(t, peer))
	assert.Positive(t, tcpInfo(t, peer).Unacked)
	onFD(t, peer, func(fd int) error {
		pending, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		assert.Zero(t, pending)
		return err
	})
}

func assertSilent(t *testing.T, client net.Conn) {
	t.Helper()
	require.NoError(t, client.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	_, err := client.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, client.SetReadDeadline(time.Time{}))
}

// unacknowledged returns how many bytes are in the send queue.
func unacknowledged(t *testing.T, conn net.Conn) (n int) {
	t.Helper()
	onFD(t, conn, func(fd int) (err error) {
		n, err = unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		return err
	})
	return n
}

func tcpInfo(t *testing.T, conn net.Conn) (info *unix.TCPInfo) {
	t.Helper()
	onFD(t, conn, func(fd int) (err error) {
		info, err = unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		return err
	})
	return info
}

func onFD(t *testing.T, conn net.Conn, do func(fd int) error) {
	t.Helper()
	socket, err := tcpSocket(conn)
	require.NoError(t, err)
	require.NoError(t, onSocket(socket, do))
}
