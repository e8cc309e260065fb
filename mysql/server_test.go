package mysql

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/sqllock/toolkit/sqllock"
)

func TestServersThatAreTooOldAreRefused(t *testing.T) {
	t.Parallel()
	for _, version := range []string{
		"8.0.36", "8.4.3", "9.7.4-2", "10.6.18-MariaDB-log", "10.11.19-MariaDB-0+deb12u1", "11.8.3-MariaDB", "5.5.5-10.11.6-MariaDB",
	} {
		assert.NoError(t, tooOld(version), version)
	}
	for _, version := range []string{"5.7.44-log", "10.5.23-MariaDB", "5.5.5-10.3.1-MariaDB", "8.0.11-TiDB-v8.5.0", "", "what?"} {
		err := tooOld(version)
		assert.ErrorIs(t, err, sqllock.ErrRefused, version)
		assert.ErrorContains(t, err, version)
	}
}
