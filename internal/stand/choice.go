package stand

import (
	"flag"
	"fmt"
	"slices"
	"strings"
)

// ChoiceVar is a flag that takes some of all names, with commas between them: all by default.
func ChoiceVar(into *[]string, name string, all []string, usage string) {
	*into = all
	flag.Func(name, usage+" (default "+strings.Join(all, ",")+")", func(text string) error {
		*into = strings.Split(text, ",")
		for _, one := range *into {
			if !slices.Contains(all, one) {
				return fmt.Errorf("there is no %q", one)
			}
		}
		return nil
	})
}
