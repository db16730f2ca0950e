package cluster

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The values of Config.Roles that name no ranks.
const (
	RolesLast = "last"
	RolesAuto = "auto"
)

// Pinned are the ranks that Roles names as teachers, in ascending order; nil where it names none, or not as it should.
func (c Config) Pinned() []int {
	if c.Roles == "" || c.Roles == RolesLast || c.Roles == RolesAuto {
		return nil
	}
	var list []int
	for text := range strings.SplitSeq(c.Roles, ",") {
		rank, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || rank < 0 || slices.Contains(list, rank) {
			return nil
		}
		list = append(list, rank)
	}
	slices.Sort(list)
	return list
}

// checkRoles is a part of Check.
func (c Config) checkRoles(bad func(key, message string)) {
	pinned := c.Pinned()
	switch {
	case c.Roles == RolesLast:
	case c.Roles == RolesAuto && c.Teachers > 0:
		bad("teachers", fmt.Sprintf("teachers = %d, but roles = %q finds out how many by itself; leave out teachers", c.Teachers, c.Roles))
	case c.Roles == RolesAuto:
	case pinned == nil:
		bad("roles", fmt.Sprintf(`roles = %q is unknown; use %q, %q, or the numbers of the ranks that teach, each once, as "1,3"`, c.Roles, RolesLast, RolesAuto))
	case pinned[0] == 0:
		bad("roles", fmt.Sprintf("roles = %q has rank 0 teach, which leads, and must train: it writes the checkpoints; name other ranks, or start the job so that another device is rank 0's", c.Roles))
	case c.Teachers != len(pinned):
		bad("teachers", fmt.Sprintf("teachers = %d, but roles = %q names %d; leave out teachers", c.Teachers, c.Roles, len(pinned)))
	}
}
