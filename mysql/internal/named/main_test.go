package named

import (
	"testing"

	"github.com/sqllock/toolkit/internal/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }
