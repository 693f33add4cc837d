package link_test

import (
	"testing"

	"reconciler.dev/reconciler/test/labhost"
)

func TestMain(m *testing.M) { labhost.Main(m) }
