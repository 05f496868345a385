package firewall

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv("FIREWALL") == "read" {
		_, err := Read()
		fmt.Println(err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}
