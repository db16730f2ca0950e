package slurm

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxHosts is the most hosts that a host list may name; the largest clusters have a tenth of that.
const MaxHosts = 1 << 18

// Hosts lists the hosts that a Slurm host list names, in its order: "gpu[001-004,007],login1" is gpu001, gpu002, gpu003, gpu004,
// gpu007, login1. Numbers keep their leading zeros; several brackets in one name multiply, the last one fastest.
func Hosts(list string) ([]string, error) {
	var hosts []string
	for rest := list; rest != ""; {
		name, after, err := cutName(rest)
		if err == nil {
			var some []string
			if some, err = expand(name, MaxHosts-len(hosts)); err == nil {
				hosts = append(hosts, some...)
				rest = after
				continue
			}
		}
		return nil, fmt.Errorf("host list %q: %w", list, err)
	}
	return hosts, nil
}

// cutName cuts the first name off a list: up to a comma outside of brackets.
func cutName(list string) (name, rest string, err error) {
	open := false
	for i, c := range list {
		switch {
		case c == '[' && open:
			return "", "", fmt.Errorf("a bracket within a bracket at byte %d", i)
		case c == ']' && !open:
			return "", "", fmt.Errorf("the bracket at byte %d closes nothing", i)
		case c == '[', c == ']':
			open = c == '['
		case c == ',' && !open:
			if i == 0 || i == len(list)-1 {
				return "", "", fmt.Errorf("an empty name at byte %d", i)
			}
			return list[:i], list[i+1:], nil
		}
	}
	if open {
		return "", "", fmt.Errorf("a bracket is not closed")
	}
	return list, "", nil
}

// expand lists what a name with brackets stands for; more than most are an error.
func expand(name string, most int) ([]string, error) {
	names := []string{""}
	for name != "" {
		fixed, rest, bracket := strings.Cut(name, "[")
		for i := range names {
			names[i] += fixed
		}
		if !bracket {
			break
		}
		inside, after, _ := strings.Cut(rest, "]")
		var longer []string
		for item := range strings.SplitSeq(inside, ",") {
			first, last, err := bounds(item)
			if err != nil {
				return nil, err
			}
			if last-first >= uint64(most) || (last-first+1)*uint64(len(names))+uint64(len(longer)) > uint64(most) {
				return nil, fmt.Errorf("it names more than %d hosts", MaxHosts)
			}
			width := 0
			if low, _, _ := strings.Cut(item, "-"); low[0] == '0' {
				width = len(low)
			}
			for n := first; n <= last; n++ {
				longer = append(longer, fmt.Sprintf("%0*d", width, n))
			}
		}
		product := make([]string, 0, len(names)*len(longer))
		for _, head := range names {
			for _, tail := range longer {
				product = append(product, head+tail)
			}
		}
		names, name = product, after
	}
	if len(names) > most {
		return nil, fmt.Errorf("it names more than %d hosts", MaxHosts)
	}
	return names, nil
}

// bounds reads "7" or "001-004".
func bounds(item string) (first, last uint64, err error) {
	low, high, ranged := strings.Cut(item, "-")
	if first, err = number(low); err == nil && ranged {
		last, err = number(high)
	} else {
		last = first
	}
	if err == nil && last < first {
		err = fmt.Errorf("%q runs backwards", item)
	}
	return first, last, err
}

// number reads digits, few enough that a count of them cannot overflow.
func number(digits string) (uint64, error) {
	n, err := strconv.ParseUint(digits, 10, 48)
	if err != nil || strings.HasPrefix(digits, "+") {
		return 0, fmt.Errorf("%q is no number", digits)
	}
	return n, nil
}

// TasksPerNode reads Slurm's count of tasks of each node: "2(x3),1" is 2, 2, 2, 1.
func TasksPerNode(list string) ([]int, error) {
	var tasks []int
	for item := range strings.SplitSeq(list, ",") {
		count, times, repeated := strings.Cut(item, "(x")
		n, err := strconv.Atoi(count)
		k := 1
		if err == nil && repeated {
			k, err = strconv.Atoi(strings.TrimSuffix(times, ")"))
		}
		if err != nil || n < 1 || k < 1 || k > MaxHosts-len(tasks) || repeated != strings.HasSuffix(item, ")") {
			return nil, fmt.Errorf("tasks per node %q: %q is not a count as 2 or 2(x3)", list, item)
		}
		for range k {
			tasks = append(tasks, n)
		}
	}
	return tasks, nil
}
