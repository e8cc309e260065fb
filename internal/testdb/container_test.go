package testdb

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEngineIsLookedForWhereDockerHostSays(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "engine")
	t.Setenv("DOCKER_HOST", "unix://"+socket)
	require.ErrorContains(t, containerEngine(), socket)

	unix, err := net.Listen("unix", socket)
	require.NoError(t, err)
	defer unix.Close()
	require.NoError(t, containerEngine())

	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer tcp.Close()
	t.Setenv("DOCKER_HOST", "tcp://"+tcp.Addr().String())
	require.NoError(t, containerEngine())
}
