package named

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

func TestServersOfWhichThereAreSeveralAreRefused(t *testing.T) {
	t.Parallel()
	members := func(n int) func() (int, error) { return func() (int, error) { return n, nil } }
	alone := func() (int, error) { panic("is not asked") }
	for name, c := range map[string]struct {
		variables map[string]string
		members   func() (int, error)
		refused   bool
	}{
		"one server":                       {nil, alone, false},
		"MariaDB without Galera":           {map[string]string{"wsrep_on": "OFF"}, alone, false},
		"a node of Galera":                 {map[string]string{"wsrep_on": "ON"}, alone, true},
		"a group with one primary":         {map[string]string{"group_replication_single_primary_mode": "ON"}, alone, false},
		"a group with several primaries":   {map[string]string{"group_replication_single_primary_mode": "OFF"}, members(3), true},
		"the plugin of a group, alone yet": {map[string]string{"group_replication_single_primary_mode": "OFF"}, members(1), false},
	} {
		err := Refusal(c.variables, c.members)
		require.Equal(t, c.refused, errors.Is(err, sqllock.ErrRefused), "%s: %v", name, err)
		if c.refused {
			require.ErrorContains(t, err, "use a Table", name)
		}
	}
	denied := errors.New("denied")
	err := Refusal(map[string]string{"group_replication_single_primary_mode": "OFF"}, func() (int, error) { return 0, denied })
	require.ErrorIs(t, err, denied)
	require.NotErrorIs(t, err, sqllock.ErrRefused)
}

func TestSignatureCannotBeEnded(t *testing.T) {
	t.Parallel()
	require.Equal(t, " /* host/1 */", sign("host/1"))
	require.Equal(t, " /* a_/; DROP TABLE t; --_b */", sign("a*/; DROP TABLE t; --\nb"))
	require.Equal(t, " /* ___ */", sign("é\\\x00"))
}
